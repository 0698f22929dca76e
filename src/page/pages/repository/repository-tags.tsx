import { useState } from 'preact/hooks'
import { ExpiryDialog } from '../../parts/forms/expiry-dialog.tsx'
import { Choice, Filter, Toolbar, useParam } from '../../parts/forms/filter.tsx'
import { Kind } from '../../parts/image/kind.tsx'
import { PullCommands } from '../../parts/pull-commands.tsx'
import { Empty } from '../../parts/states.tsx'
import { type Column, DataTable } from '../../parts/tables/data-table.tsx'
import { Bytes, DigestText, Time } from '../../parts/tables/values.tsx'
import { manifestPath, repositoryPath } from '../../routes.ts'
import type { Item } from '../../server/api.ts'
import { useList } from '../../server/resource.ts'
import { deleteTags, type PointedTag } from '../../server/tag-acts.ts'
import { formatCount, visible } from '../../values/format.ts'

type ListedTag = Item<'repositories/:repository/tags'>

const orders: Record<string, string> = {
  '': 'Newest first',
  name: 'By name',
  oldest: 'Oldest first',
}

const columnsOf = (repository: string): Column<ListedTag>[] => [
  {
    title: 'Tag',
    cell: ({ name, kind, bytes, totalBytes = bytes }) => (
      <>
        <a href={manifestPath(repository, name)}>{name}</a>
        <small class="sub narrow-only">
          {kind} · <Bytes of={totalBytes} />
        </small>
      </>
    ),
  },
  { title: 'Digest', class: 'wide', cell: ({ digest }) => <DigestText of={digest} /> },
  { title: 'Kind', class: 'wide', cell: ({ kind }) => <Kind of={kind} /> },
  {
    title: 'Platforms',
    class: 'wider',
    cell: ({ platforms = [] }) => <span title={platforms.join(', ')}>{visible(platforms.join(', '))}</span>,
  },
  { title: 'Size', class: 'number wide', cell: ({ bytes, totalBytes = bytes }) => <Bytes of={totalBytes} /> },
  { title: 'Moved', class: 'number', cell: ({ updatedAt }) => <Time at={updatedAt} /> },
  { title: 'Last pull', class: 'number widest', cell: ({ lastPulledAt }) => <Time at={lastPulledAt} /> },
  { title: 'Pulls', class: 'number widest', cell: ({ pullCount }) => formatCount(pullCount) },
  { title: 'Expires', class: 'number wider', cell: ({ expiresAt }) => <Time at={expiresAt} /> },
]

interface RepositoryTagsProps {
  name: string
  rights: ReadonlySet<string>
}

/** The tags of a repository: to find, open, delete and expire. */
export function RepositoryTags({ name, rights }: RepositoryTagsProps) {
  const [q, setQ] = useParam('q')
  const [sort, setSort] = useParam('sort')
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const order =
    sort === 'name'
      ? ({ sort: 'name' } as const)
      : ({ sort: 'updated', order: sort === 'oldest' ? 'asc' : 'desc' } as const)
  const pages = useList('repositories/:repository/tags', {
    params: { repository: name },
    query: { q, details: true, ...order },
  })
  const mayDelete = rights.has('delete')
  const chosen = pages.items.filter((tag) => selected.has(tag.name))
  const clear = () => setSelected(new Set())
  return (
    <>
      <PullCommands repository={name} tag={pages.items[0]} />
      <Toolbar>
        <Filter label="Filter tags" value={q} set={setQ} />
        <Choice label="Order" value={sort} set={setSort} options={orders} />
        <SelectedTags repository={name} tags={chosen} mayDelete={mayDelete} clear={clear} />
      </Toolbar>
      <DataTable
        label="Tags"
        columns={columnsOf(name)}
        pages={pages}
        keyOf={(tag) => tag.name}
        selection={{ keys: selected, set: setSelected }}
        empty={<Empty title={q === '' ? 'This repository has no tags' : `No tag matches "${q}"`} />}
      />
    </>
  )
}

interface SelectedTagsProps {
  repository: string
  tags: PointedTag[]
  mayDelete: boolean
  clear: () => void
}

/** What can be done with all selected tags. */
function SelectedTags({ repository, tags, mayDelete, clear }: SelectedTagsProps) {
  const [isExpiring, setExpiring] = useState(false)
  if (tags.length === 0) return null
  const [to, from] = tags.map((tag) => tag.name)
  const remove = async () => {
    if (await deleteTags(repository, tags)) clear()
  }
  return (
    <div class="selection" role="status">
      <b>{formatCount(tags.length)} selected</b>
      {from && to && tags.length === 2 && (
        <a
          class="button"
          href={`${repositoryPath(repository, 'compare')}?${new URLSearchParams({ from, to })}`}
        >
          Compare
        </a>
      )}
      {mayDelete && (
        <>
          <button type="button" onClick={() => setExpiring(true)}>
            Expire
          </button>
          <button type="button" class="danger" onClick={remove}>
            Delete
          </button>
        </>
      )}
      <button type="button" class="quiet" onClick={clear}>
        Clear
      </button>
      {isExpiring && <ExpiryDialog repository={repository} tags={tags} onClose={() => setExpiring(false)} />}
    </div>
  )
}
