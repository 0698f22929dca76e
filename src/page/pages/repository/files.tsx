import { Download, File, Folder, Link2 } from 'lucide-preact'
import { useEffect, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { InlineForm, NameInput } from '../../parts/forms/inline-form.tsx'
import { Indexing } from '../../parts/image/indexing.tsx'
import { PageHeader } from '../../parts/page-header.tsx'
import { Empty, Failure } from '../../parts/states.tsx'
import { type Column, DataTable } from '../../parts/tables/data-table.tsx'
import { Bytes, Time } from '../../parts/tables/values.tsx'
import { filesPath, layerFilesPath, manifestPath, repositoryPath } from '../../routes.ts'
import { type Answer, call, type Item, urlOf } from '../../server/api.ts'
import { usePages } from '../../server/resource.ts'
import { untilIndexed } from '../../server/until-indexed.ts'
import { shortDigest, visible } from '../../values/format.ts'

type FilePage = Answer<'repositories/:repository/manifests/:reference/files'>
type Entry = Item<'repositories/:repository/manifests/:reference/files'>

interface FilesProps {
  repository: string
  /** What is browsed: an image by a tag or a digest, or a layer by its digest. */
  reference: string
  isLayer: boolean
}

/** The files of an image with all its layers, or of one layer. The URL holds the directory and the search. */
export function Files({ repository, reference, isLayer }: FilesProps) {
  const { query, route } = useLocation()
  const { path = '', search = '' } = query
  const [page, setPage] = useState<Pick<FilePage, 'indexing' | 'problems'>>({ problems: [] })
  const here = isLayer ? layerFilesPath(repository, reference) : filesPath(repository, reference)
  const urlFor = (to: { path?: string; search?: string }) =>
    `${here}?${new URLSearchParams(Object.entries(to).filter(([, text]) => text !== ''))}`
  const pages = usePages(`files ${here} ${path} ${search}`, (part, signal) => {
    const asked = {
      params: { repository, digest: reference, reference },
      query: { path, search, ...part },
      signal,
    }
    return untilIndexed<FilePage>(signal, () => call('get', `${routeOf(isLayer)}/files`, asked), setPage)
  })
  useEffect(() => setPage({ problems: [] }), [here])
  const name = isLayer || reference.includes(':') ? shortDigest(reference) : reference
  return (
    <>
      <PageHeader
        title={isLayer ? `Files of layer ${name}` : `Files of ${name}`}
        trail={[
          ['Repositories', '/repositories'],
          [repository, repositoryPath(repository)],
          ...(isLayer ? [] : ([[name, manifestPath(repository, reference)]] as [string, string][])),
        ]}
      />
      <Search key={search} text={search} find={(text) => route(urlFor({ path, search: text }))} />
      <Breadcrumbs path={path} urlFor={(to) => urlFor({ path: to })} />
      {page.indexing ? (
        pages.error ? (
          <Failure error={pages.error} retry={pages.more} />
        ) : (
          <Indexing of={page.indexing} />
        )
      ) : (
        <DataTable<Entry>
          label="Files"
          columns={columnsFor(repository, reference, isLayer, search !== '', (to) => urlFor({ path: to }))}
          pages={pages}
          keyOf={(entry) => entry.path}
          empty={<Empty title={search === '' ? 'This directory is empty' : 'No name contains this text'} />}
        />
      )}
      <Problems of={page.problems} />
    </>
  )
}

function Search({ text, find }: { text: string; find: (text: string) => void }) {
  return (
    <InlineForm submit={({ search = '' }) => find(search)}>
      <NameInput
        label="Find below this directory"
        name="search"
        type="search"
        defaultValue={text}
        maxLength={255}
      />
      <button type="submit">Find</button>
    </InlineForm>
  )
}

function Breadcrumbs({ path, urlFor }: { path: string; urlFor: (path: string) => string }) {
  const parts = path.split('/').filter((part) => part !== '')
  return (
    <nav aria-label="Directory" class="trail">
      <a href={urlFor('')}>Root</a>
      {parts.map((part, index) => {
        const to = parts.slice(0, index + 1).join('/')
        return (
          <a key={to} href={urlFor(to)} aria-current={index === parts.length - 1 ? 'page' : undefined}>
            {visible(part)}
          </a>
        )
      })}
    </nav>
  )
}

/** Oddities of the archive: a runtime may treat them in its own way. */
function Problems({ of }: { of: FilePage['problems'] }) {
  if (of.length === 0) return null
  return (
    <details class="card">
      <summary>
        <h2>Oddities of the archives</h2>
      </summary>
      <ul class="lines">
        {of.map(({ path, reason }, index) => (
          <li key={`${index} ${path}`}>
            <code>{visible(path)}</code>: {visible(reason)}
          </li>
        ))}
      </ul>
    </details>
  )
}

function columnsFor(
  repository: string,
  reference: string,
  isLayer: boolean,
  showsPaths: boolean,
  urlFor: (path: string) => string,
): Column<Entry>[] {
  const columns: Column<Entry>[] = [
    {
      title: 'Name',
      cell: (entry) => (
        <span class="between">
          <span>
            <span class="kind">
              <EntryIcon kind={entry.kind} />
            </span>
            {entry.kind === 'directory' ? (
              <a href={urlFor(entry.path)}>{visible(showsPaths ? entry.path : entry.name)}</a>
            ) : (
              visible(showsPaths ? entry.path : entry.name)
            )}
            {entry.target !== undefined && <small> → {visible(entry.target)}</small>}
            {entry.kind === 'whiteout' && <span class="chip warning">deleted</span>}
            {entry.opaque && <span class="chip warning">hides lower layers</span>}
          </span>
          {(entry.kind === 'file' || entry.kind === 'hardlink') && (
            <a
              class="icon-button small"
              href={contentUrl(repository, reference, isLayer, entry.path)}
              download
              aria-label={`Download ${visible(entry.name)}`}
              title="Download"
            >
              <Download aria-hidden />
            </a>
          )}
        </span>
      ),
    },
    {
      title: 'Size',
      class: 'number',
      cell: (entry) =>
        entry.kind === 'file' || entry.kind === 'hardlink' ? <Bytes of={entry.bytes} /> : null,
    },
    { title: 'Mode', class: 'wide', cell: ({ mode }) => <code>{mode}</code> },
    {
      title: 'Owner',
      class: 'wide',
      cell: ({ uid, gid }) => (uid === undefined ? null : <code>{`${uid}:${gid}`}</code>),
    },
    {
      title: 'Modified',
      class: 'wide',
      cell: ({ modifiedAt }) => modifiedAt && <Time at={modifiedAt} />,
    },
  ]
  if (isLayer) return columns
  return [
    ...columns,
    {
      title: 'Layer',
      class: 'wide',
      cell: ({ layer }) => <a href={layerFilesPath(repository, layer)}>{shortDigest(layer)}</a>,
    },
  ]
}

function EntryIcon({ kind }: { kind: Entry['kind'] }) {
  if (kind === 'directory') return <Folder aria-label="directory" />
  if (kind === 'symlink' || kind === 'hardlink') return <Link2 aria-label={kind} />
  return <File aria-label={kind} />
}

function contentUrl(repository: string, reference: string, isLayer: boolean, path: string): string {
  const params = { repository, digest: reference, reference }
  return urlOf(`${routeOf(isLayer)}/files/content`, { params, query: { path } })
}

/** Returns the route of a layer or a manifest. */
function routeOf(isLayer: boolean) {
  return isLayer ? 'repositories/:repository/layers/:digest' : 'repositories/:repository/manifests/:reference'
}
