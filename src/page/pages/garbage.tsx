import { Card } from '../parts/card.tsx'
import { Empty, Shown } from '../parts/states.tsx'
import { type Column, DataTable } from '../parts/tables/data-table.tsx'
import { Bytes, Facts, Time } from '../parts/tables/values.tsx'
import { attempt } from '../parts/toast.tsx'
import { manifestPath, repositoryPath } from '../routes.ts'
import { type Answer, change, type Item } from '../server/api.ts'
import { useAnswer, useList } from '../server/resource.ts'
import { countOf, shortDigest } from '../values/format.ts'

type Candidate = Item<'gc/candidates'>

const reasons: Record<Candidate['reason'], string> = {
  expired: 'it expired',
  deleted: 'it was deleted',
  unreferenced: 'nothing refers to it',
  untagged: 'it was never tagged',
}

const columns: Column<Candidate>[] = [
  {
    title: 'What',
    cell: ({ kind, repository, tag, digest }) => (
      <>
        {kind === 'manifest' && digest !== undefined ? (
          <a href={manifestPath(repository, digest)}>{`${repository}@${shortDigest(digest)}`}</a>
        ) : (
          <a href={repositoryPath(repository)}>
            {repository}
            {tag !== undefined && `:${tag}`}
            {tag === undefined && digest !== undefined && `@${shortDigest(digest)}`}
          </a>
        )}
        <small class="sub"> {kind}</small>
      </>
    ),
  },
  {
    title: 'Why',
    class: 'wide',
    cell: ({ reason, since }) => (
      <span>
        {reasons[reason]}{' '}
        <small>
          <Time at={since} />
        </small>
      </span>
    ),
  },
  { title: 'Frees', class: 'number wide', cell: ({ bytes }) => <Bytes of={bytes} /> },
  { title: 'Will be deleted', class: 'number', cell: ({ collectableAt }) => <Time at={collectableAt} /> },
]

/** What the garbage collector will delete, when and why. */
export function Garbage() {
  const state = useAnswer('gc', {}, { isLive: true })
  const totals = useAnswer('gc/totals')
  const pages = useList('gc/candidates')
  return (
    <>
      <div class="cards">
        <Card
          title="What will be deleted"
          aside={
            <button
              type="button"
              onClick={() =>
                attempt(
                  () => change('post', 'jobs', { body: { kind: 'gc' } }),
                  'Garbage collection has started',
                )
              }
            >
              Collect now
            </button>
          }
        >
          <Shown of={totals}>{(found) => <Totals of={found} />}</Shown>
        </Card>
        <Card title="Collector">
          <Shown of={state}>{(found) => <CollectorState of={found} />}</Shown>
        </Card>
      </div>
      <DataTable
        label="What will be deleted"
        columns={columns}
        pages={pages}
        keyOf={({ kind, repository, tag = '', digest = '' }) => `${kind} ${repository} ${tag} ${digest}`}
        empty={<Empty title="There is no garbage" />}
      />
    </>
  )
}

function Totals({ of }: { of: Answer<'gc/totals'> }) {
  const { bytes, tagCount, manifestCount, repositoryCount, blobCount, truncated } = of
  return (
    <>
      <p class="big">
        <Bytes of={bytes} /> <small>{truncated ? 'and more ' : ''}will be freed</small>
      </p>
      <p class="muted">
        {countOf(tagCount, 'tag')}, {countOf(manifestCount, 'manifest')},{' '}
        {countOf(repositoryCount, 'repository', 'repositories')}, {countOf(blobCount, 'blob')}, now or later,
        if nothing changes.
      </p>
    </>
  )
}

function CollectorState({ of }: { of: Answer<'gc'> }) {
  const { running, waitingUntil, lastRun, garbageWindow } = of
  const days = Math.round(garbageWindow.windowSeconds / 86_400)
  return (
    <Facts
      of={{
        State: running ? (
          'Running'
        ) : waitingUntil ? (
          <>
            Starts <Time at={waitingUntil} />
          </>
        ) : (
          'Idle'
        ),
        'Last run': lastRun && (
          <>
            <Time at={lastRun.endedAt} />: freed <Bytes of={lastRun.bytes} />
          </>
        ),
        'Deleted content': `is kept for ${countOf(days, 'day')}`,
        'Untagged manifests':
          garbageWindow.untaggedDays === 0
            ? 'are kept'
            : `are kept for ${countOf(garbageWindow.untaggedDays, 'day')}`,
      }}
    />
  )
}
