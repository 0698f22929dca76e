import { NeededBy } from '../parts/attention.tsx'
import { Empty, Failure } from '../parts/states.tsx'
import { type Column, DataTable } from '../parts/tables/data-table.tsx'
import { Bytes, DigestText, Time } from '../parts/tables/values.tsx'
import { attempt } from '../parts/toast.tsx'
import { change, type Item } from '../server/api.ts'
import { useAnswer } from '../server/resource.ts'

type Damaged = Item<'damage'>

const NAMED_MAX = 3

const columns: Column<Damaged>[] = [
  { title: 'Digest', cell: ({ digest }) => <DigestText of={digest} /> },
  { title: 'Kind', class: 'wide', cell: ({ kind }) => kind },
  {
    title: 'Needed by',
    cell: ({ neededBy }) => (
      <span class="comma-list">
        {neededBy.slice(0, NAMED_MAX).map((one) => (
          <NeededBy key={`${one.repository} ${one.tag}`} of={one} />
        ))}
        {neededBy.length > NAMED_MAX && <small>and {neededBy.length - NAMED_MAX} more</small>}
        {neededBy.length === 0 && <small>nothing</small>}
      </span>
    ),
  },
  { title: 'Size', class: 'number wide', cell: ({ bytes }) => <Bytes of={bytes} /> },
  { title: 'Found', class: 'number wide', cell: ({ foundAt }) => <Time at={foundAt} /> },
]

/** Content whose bytes are damaged, who needs it, and how it heals. */
export function Damage() {
  const found = useAnswer('damage')
  const verify = () =>
    attempt(() => change('post', 'jobs', { body: { kind: 'scrub' } }), 'Verification has started')
  if (found.error && found.data === undefined) return <Failure error={found.error} retry={found.reload} />
  const items = found.data?.items ?? []
  return (
    <>
      <div class="between">
        <p class="muted">
          Damaged content is not served. It heals when somebody pushes the same digest again, or when a later
          verification finds good bytes.
        </p>
        <button type="button" onClick={verify}>
          Verify everything now
        </button>
      </div>
      <DataTable
        label="Damaged content"
        columns={columns}
        pages={{
          items,
          hasMore: false,
          error: undefined,
          isLoading: found.data === undefined,
          more: () => {},
        }}
        keyOf={({ digest }) => digest}
        empty={<Empty title="No damaged content is known" />}
      />
    </>
  )
}
