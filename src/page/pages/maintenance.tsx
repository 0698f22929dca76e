import { useLocation } from 'preact-iso'
import { type Answer, call, change, type Item } from '../api.ts'
import { countOf, shortDigest } from '../format.ts'
import { useJobs } from '../jobs.ts'
import { type Column, DataTable } from '../parts/data-table.tsx'
import { confirm } from '../parts/dialog.tsx'
import { type Job, JobLine, jobNames } from '../parts/job-line.tsx'
import { PageHeader } from '../parts/page-header.tsx'
import { Empty, Shown } from '../parts/states.tsx'
import { Tabs } from '../parts/tabs.tsx'
import { attempt } from '../parts/toast.tsx'
import { Bytes, Facts, Time } from '../parts/values.tsx'
import { usePages, useResource } from '../resource.ts'
import { manifestPath, repositoryPath } from '../routes.ts'

/** Jobs, and the garbage that they delete. */
export function Maintenance() {
  const { path } = useLocation()
  return (
    <>
      <PageHeader title="Maintenance" />
      <Tabs
        label="Parts of maintenance"
        current={path}
        tabs={[
          ['/maintenance', 'Jobs'],
          ['/maintenance/garbage', 'Garbage'],
        ]}
      />
      {path === '/maintenance/garbage' ? <Garbage /> : <Jobs />}
    </>
  )
}

const descriptions: Record<Job['kind'], string> = {
  gc: 'Deletes what nothing refers to and nobody can restore any more.',
  retain: 'Deletes the tags that the retention policies expire.',
  scan: 'Finds files that the database does not refer to, and removes them.',
  scrub: 'Reads all stored content and compares it with its digests.',
  backup: 'Copies the data folder to the backup folder while the server runs.',
}

function Jobs() {
  const found = useJobs()
  const start = async (kind: Job['kind']) => {
    if (kind === 'retain' && !(await confirmRetention())) return
    await attempt(() => change('post', 'jobs', { body: { kind } }), `${jobNames[kind]} has started`)
  }
  return (
    <>
      <div class="cards">
        {(Object.keys(jobNames) as Job['kind'][]).map((kind) => (
          <section key={kind} class="card">
            <h2>{jobNames[kind]}</h2>
            <p class="muted">{descriptions[kind]}</p>
            <button type="button" aria-label={`Start: ${jobNames[kind]}`} onClick={() => start(kind)}>
              Start
            </button>
          </section>
        ))}
      </div>
      <Shown of={found}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No job has run since the server started" />
          ) : (
            <ul class="lines">
              {items.map((job) => (
                <li key={job.id} class="card">
                  <JobLine job={job} />
                </li>
              ))}
            </ul>
          )
        }
      </Shown>
    </>
  )
}

const TAGS_COUNTED = 500

/** Asks whether to delete the tags that the retention policies expire, and says how many they are. */
async function confirmRetention(): Promise<boolean> {
  let tags = ''
  const isCounted = await attempt(async () => {
    const { items, nextCursor } = await call('get', 'retention/test', {
      query: { expiring: 'true', limit: TAGS_COUNTED },
    })
    tags = `${nextCursor === undefined ? '' : 'at least '}${countOf(items.length, 'tag')}`
  })
  if (!isCounted) return false
  return await confirm({
    title: 'Apply the retention policies now?',
    text: `This deletes ${tags}. They can be restored as long as deleted content is kept.`,
    action: 'Delete the tags',
  })
}

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

function Garbage() {
  const state = useResource('gc', (signal) => call('get', 'gc', { signal }), { isLive: true })
  const totals = useResource('gc totals', (signal) => call('get', 'gc/totals', { signal }))
  const pages = usePages('gc candidates', (page, signal) =>
    call('get', 'gc/candidates', { query: page, signal }),
  )
  return (
    <>
      <div class="cards">
        <section class="card">
          <header>
            <h2>What will be deleted</h2>
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
          </header>
          <Shown of={totals}>{(found) => <Totals of={found} />}</Shown>
        </section>
        <section class="card">
          <h2>Collector</h2>
          <Shown of={state}>{(found) => <CollectorState of={found} />}</Shown>
        </section>
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
