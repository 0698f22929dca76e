import type { ComponentChildren } from 'preact'
import { useLocation } from 'preact-iso'
import { Figures } from '../../parts/charts/figures.tsx'
import { Tabs } from '../../parts/forms/tabs.tsx'
import { PageHeader } from '../../parts/page-header.tsx'
import { Shown } from '../../parts/states.tsx'
import { Bytes, CopyButton, Time } from '../../parts/tables/values.tsx'
import { parseRepositoryPath, repositoryPath } from '../../routes.ts'
import type { Answer } from '../../server/api.ts'
import { useAnswer } from '../../server/resource.ts'
import { useRights } from '../../server/rights.ts'
import { caller } from '../../server/session.ts'
import { countOf, formatCount, visible } from '../../values/format.ts'
import { SignIn } from '../accounts/sign-in.tsx'
import { NotFound } from '../not-found.tsx'
import { Compare } from './compare.tsx'
import { Files } from './files.tsx'
import { ManifestPage } from './manifest.tsx'
import { RepositoryAccess } from './repository-access.tsx'
import { RepositoryDeleted } from './repository-deleted.tsx'
import { RepositoryHistory } from './repository-history.tsx'
import { RepositoryPulls } from './repository-pulls.tsx'
import { RepositorySettings } from './repository-settings.tsx'
import { RepositoryTags } from './repository-tags.tsx'

/** A repository, and everything below its path. */
export function Repository() {
  const { path } = useLocation()
  const { name, part, rest } = parseRepositoryPath(path)
  if (!caller.value?.catalogAccess) return <SignIn />
  if (part === 'manifests' && rest !== '')
    return <ManifestPage key={`${name} ${rest}`} repository={name} reference={rest} />
  if ((part === 'files' || part === 'layers') && rest !== '')
    return (
      <Files key={`${name} ${part} ${rest}`} repository={name} reference={rest} isLayer={part === 'layers'} />
    )
  if (part === 'compare') return <Compare key={name} repository={name} />
  return <Overview key={name} name={name} part={part} />
}

function Overview({ name, part }: { name: string; part: string }) {
  const rights = useRights(name)
  const found = useAnswer('repositories/:repository', { params: { repository: name } })
  const mayDelete = rights.has('delete')
  const { data: repository } = found
  if (found.error && repository === undefined)
    return (
      <Shown of={found} title={name}>
        {() => null}
      </Shown>
    )
  // The parts are read beside the repository, not after it.
  return (
    <>
      <PageHeader
        title={name}
        trail={[['Repositories', '/repositories']]}
        subtitle={repository && visible(repository.description)}
      >
        <CopyButton text={`${location.host}/${name}`} what="name" />
      </PageHeader>
      <Figures of={figuresOf(repository)} />
      <Parts name={name} part={part} mayDelete={mayDelete} />
      {part === '' && <RepositoryTags name={name} rights={rights} />}
      {part === 'history' && <RepositoryHistory name={name} mayRestore={mayDelete} />}
      {part === 'deleted' && <RepositoryDeleted name={name} />}
      {part === 'pulls' && <RepositoryPulls name={name} />}
      {part === 'access' && <RepositoryAccess name={name} mayDelete={mayDelete} />}
      {part === 'settings' && (
        <Shown of={found}>
          {(of) => <RepositorySettings repository={of} what={countOf(of.tagCount, 'tag')} />}
        </Shown>
      )}
      {!PARTS.includes(part) && <NotFound />}
    </>
  )
}

/** Returns the figures of a repository; empty ones, of the same height, until it is read. */
function figuresOf(repository: Answer<'repositories/:repository'> | undefined) {
  const shown = (figure: (of: Answer<'repositories/:repository'>) => ComponentChildren) =>
    repository === undefined ? '\u00a0' : figure(repository)
  return {
    Tags: shown(({ tagCount }) => formatCount(tagCount)),
    Size: shown(({ bytes }) => <Bytes of={bytes} />),
    Pulls: shown(({ pullCount }) => formatCount(pullCount)),
    'Last push': shown(({ lastPushedAt }) => <Time at={lastPushedAt} />),
    'Last pull': shown(({ lastPulledAt }) => <Time at={lastPulledAt} />),
  }
}

const PARTS = ['', 'history', 'deleted', 'pulls', 'access', 'settings']

const tabs: [part: string, name: string, needsDelete: boolean][] = [
  ['', 'Tags', false],
  ['history', 'History', false],
  ['deleted', 'Deleted', true],
  ['pulls', 'Pulls', true],
  ['access', 'Access', false],
  ['settings', 'Settings', true],
]

function Parts({ name, part, mayDelete }: { name: string; part: string; mayDelete: boolean }) {
  const isAccount = caller.value?.account !== undefined
  const shown = tabs.filter(
    ([key, , needsDelete]) => (mayDelete || !needsDelete) && (isAccount || key !== 'access'),
  )
  return (
    <Tabs
      label="Parts of the repository"
      current={repositoryPath(name, part)}
      tabs={shown.map(([key, title]) => [repositoryPath(name, key), title])}
    />
  )
}
