import { call, change, type Item } from '../api.ts'
import { countOf } from '../format.ts'
import { type Column, DataTable } from '../parts/data-table.tsx'
import { Kind } from '../parts/kind.tsx'
import { Empty } from '../parts/states.tsx'
import { attempt } from '../parts/toast.tsx'
import { Bytes, DigestText, Time } from '../parts/values.tsx'
import { usePages } from '../resource.ts'

type DeletedManifest = Item<'repositories/:repository/manifests'>

const columnsOf = (repository: string): Column<DeletedManifest>[] => [
  { title: 'Digest', cell: ({ digest }) => <DigestText of={digest} /> },
  { title: 'Kind', class: 'wide', cell: ({ kind }) => <Kind of={kind} /> },
  { title: 'Size', class: 'number wide', cell: ({ bytes }) => <Bytes of={bytes} /> },
  { title: 'Deleted', class: 'number wide', cell: ({ deletedAt }) => <Time at={deletedAt} /> },
  { title: 'Until', class: 'number', cell: ({ restorableUntil }) => <Time at={restorableUntil} /> },
  {
    title: 'Restore',
    class: 'number',
    cell: ({ digest }) => (
      <button type="button" onClick={() => restore(repository, digest)}>
        Restore
      </button>
    ),
  },
]

/** The deleted manifests of a repository that can be restored. */
export function RepositoryDeleted({ name }: { name: string }) {
  const pages = usePages(`deleted ${name}`, (page, signal) =>
    call('get', 'repositories/:repository/manifests', {
      params: { repository: name },
      query: { ...page, deleted: true },
      signal,
    }),
  )
  return (
    <>
      <p class="muted">
        Deleted manifests can be restored with their tags until they are deleted permanently.
      </p>
      <DataTable
        label="Deleted manifests"
        columns={columnsOf(name)}
        pages={pages}
        keyOf={({ digest }) => digest}
        empty={<Empty title="No deleted manifest can be restored" />}
      />
    </>
  )
}

async function restore(repository: string, digest: string): Promise<void> {
  await attempt(async () => {
    const { tags } = await change('post', 'repositories/:repository/manifests/:reference/restore', {
      params: { repository, reference: digest },
    })
    return countOf(tags.length, 'tag')
  }, 'The manifest is restored with its tags')
}
