import type { ComponentChildren } from 'preact'
import { useLocation } from 'preact-iso'
import { call } from '../api.ts'
import { countOf, visible } from '../format.ts'
import { PageHeader } from '../parts/page-header.tsx'
import { Shown } from '../parts/states.tsx'
import { Bytes, CopyButton, Time } from '../parts/values.tsx'
import { useResource } from '../resource.ts'
import { useRights } from '../rights.ts'
import { parseRepositoryPath, repositoryPath } from '../routes.ts'
import { caller } from '../session.ts'
import { Compare } from './compare.tsx'
import { ManifestPage } from './manifest.tsx'
import { NotFound } from './not-found.tsx'
import { RepositoryAccess } from './repository-access.tsx'
import { RepositoryDeleted } from './repository-deleted.tsx'
import { RepositoryHistory } from './repository-history.tsx'
import { RepositorySettings } from './repository-settings.tsx'
import { RepositoryTags } from './repository-tags.tsx'
import { SignIn } from './sign-in.tsx'

/** A repository, and everything below its path. */
export function Repository() {
  const { path } = useLocation()
  const { name, part, rest } = parseRepositoryPath(path)
  if (!caller.value?.canList) return <SignIn />
  if (part === 'manifests' && rest !== '')
    return <ManifestPage key={`${name} ${rest}`} repository={name} reference={rest} />
  if (part === 'compare') return <Compare key={name} repository={name} />
  return <Overview key={name} name={name} part={part} />
}

function Overview({ name, part }: { name: string; part: string }) {
  const rights = useRights(name)
  const found = useResource(`repository ${name}`, (signal) =>
    call('get', 'repositories/:repository', { params: { repository: name }, signal }),
  )
  const mayDelete = rights.has('delete')
  return (
    <Shown of={found} title={name}>
      {(repository) => (
        <>
          <PageHeader
            title={name}
            trail={[['Repositories', '/repositories']]}
            subtitle={visible(repository.description)}
          >
            <CopyButton text={`${location.host}/${name}`} what="name" />
          </PageHeader>
          <ul class="figures">
            <Figure name="Tags">{repository.tagCount.toLocaleString('en')}</Figure>
            <Figure name="Size">
              <Bytes of={repository.bytes} />
            </Figure>
            <Figure name="Pulls">{repository.pullCount.toLocaleString('en')}</Figure>
            <Figure name="Last push">
              <Time at={repository.lastPushedAt} />
            </Figure>
            <Figure name="Last pull">
              <Time at={repository.lastPulledAt} />
            </Figure>
          </ul>
          <Tabs name={name} part={part} mayDelete={mayDelete} />
          {part === '' && <RepositoryTags name={name} rights={rights} />}
          {part === 'history' && <RepositoryHistory name={name} mayRestore={mayDelete} />}
          {part === 'deleted' && <RepositoryDeleted name={name} />}
          {part === 'access' && <RepositoryAccess name={name} mayDelete={mayDelete} />}
          {part === 'settings' && (
            <RepositorySettings repository={repository} what={countOf(repository.tagCount, 'tag')} />
          )}
          {!PARTS.includes(part) && <NotFound />}
        </>
      )}
    </Shown>
  )
}

function Figure({ name, children }: { name: string; children: ComponentChildren }) {
  return (
    <li>
      <small>{name}</small>
      <b>{children}</b>
    </li>
  )
}

const PARTS = ['', 'history', 'deleted', 'access', 'settings']

const tabs: [part: string, name: string, needsDelete: boolean][] = [
  ['', 'Tags', false],
  ['history', 'History', false],
  ['deleted', 'Deleted', true],
  ['access', 'Access', false],
  ['settings', 'Settings', true],
]

function Tabs({ name, part, mayDelete }: { name: string; part: string; mayDelete: boolean }) {
  const isAccount = caller.value?.account !== undefined
  const shown = tabs.filter(
    ([key, , needsDelete]) => (mayDelete || !needsDelete) && (isAccount || key !== 'access'),
  )
  return (
    <nav class="tabs" aria-label="Parts of the repository">
      {shown.map(([key, title]) => (
        <a key={key} href={repositoryPath(name, key)} aria-current={key === part ? 'page' : undefined}>
          {title}
        </a>
      ))}
    </nav>
  )
}
