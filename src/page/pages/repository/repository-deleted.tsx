import { useState } from 'preact/hooks'
import { Toolbar } from '../../parts/forms/filter.tsx'
import { Kind } from '../../parts/image/kind.tsx'
import { Empty } from '../../parts/states.tsx'
import { type Column, DataTable } from '../../parts/tables/data-table.tsx'
import { Bytes, DigestText, Time } from '../../parts/tables/values.tsx'
import { attempt } from '../../parts/toast.tsx'
import { call, type Item } from '../../server/api.ts'
import { onEach } from '../../server/on-each.ts'
import { useList } from '../../server/resource.ts'
import { countOf, formatCount } from '../../values/format.ts'

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
      <button type="button" aria-label={`Restore: ${digest}`} onClick={() => restore(repository, [digest])}>
        Restore
      </button>
    ),
  },
]

/** The deleted manifests of a repository that can be restored. */
export function RepositoryDeleted({ name }: { name: string }) {
  const [selected, setSelected] = useState<ReadonlySet<string>>(new Set())
  const pages = useList('repositories/:repository/manifests', {
    params: { repository: name },
    query: { deleted: true },
  })
  const chosen = pages.items.map(({ digest }) => digest).filter((digest) => selected.has(digest))
  const restoreChosen = async () => {
    if (await restore(name, chosen)) setSelected(new Set())
  }
  return (
    <>
      <Toolbar>
        <p class="muted">
          Deleted manifests can be restored with their tags until they are deleted permanently.
        </p>
        {chosen.length > 0 && (
          <div class="selection" role="status">
            <b>{formatCount(chosen.length)} selected</b>
            <button type="button" onClick={restoreChosen}>
              Restore {formatCount(chosen.length)}
            </button>
            <button type="button" class="quiet" onClick={() => setSelected(new Set())}>
              Clear
            </button>
          </div>
        )}
      </Toolbar>
      <DataTable
        label="Deleted manifests"
        columns={columnsOf(name)}
        pages={pages}
        keyOf={({ digest }) => digest}
        selection={{ keys: selected, set: setSelected }}
        empty={<Empty title="No deleted manifest can be restored" />}
      />
    </>
  )
}

/** Restores manifests. The message that says so can undo it. */
function restore(repository: string, digests: string[]): Promise<boolean> {
  const paramsOf = (reference: string) => ({ params: { repository, reference } })
  return attempt(
    () =>
      onEach(digests, (digest) =>
        call('post', 'repositories/:repository/manifests/:reference/restore', paramsOf(digest)),
      ),
    `${countOf(digests.length, 'manifest')} restored with ${digests.length === 1 ? 'its' : 'their'} tags`,
    () =>
      onEach(digests, (digest) =>
        call('delete', 'repositories/:repository/manifests/:reference', paramsOf(digest)),
      ),
  )
}
