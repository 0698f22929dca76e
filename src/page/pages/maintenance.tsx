import { useLocation } from 'preact-iso'
import { Tabs } from '../parts/forms/tabs.tsx'
import { type Job, JobLine, jobNames } from '../parts/job-line.tsx'
import { PageHeader } from '../parts/page-header.tsx'
import { Empty, Shown } from '../parts/states.tsx'
import { attempt } from '../parts/toast.tsx'
import { change } from '../server/api.ts'
import { useJobs } from '../server/jobs.ts'
import { Damage } from './damage.tsx'
import { Garbage } from './garbage.tsx'
import { Quotas } from './quotas.tsx'
import { Retention, runRetention } from './retention.tsx'

const tabs: [path: string, name: string][] = [
  ['/maintenance', 'Jobs'],
  ['/maintenance/garbage', 'Garbage'],
  ['/maintenance/retention', 'Retention'],
  ['/maintenance/quotas', 'Quotas'],
  ['/maintenance/damage', 'Damage'],
]

/** What keeps the server healthy: jobs, garbage, retention, quotas, and damaged content. */
export function Maintenance() {
  const { path } = useLocation()
  const current = tabs.find(([to]) => to === path)?.[0] ?? '/maintenance'
  return (
    <>
      <PageHeader title="Maintenance" />
      <Tabs label="Parts of maintenance" current={current} tabs={tabs} />
      {current === '/maintenance' && <Jobs />}
      {current === '/maintenance/garbage' && <Garbage />}
      {current === '/maintenance/retention' && <Retention />}
      {current === '/maintenance/quotas' && <Quotas />}
      {current === '/maintenance/damage' && <Damage />}
    </>
  )
}

type StartableKind = Exclude<Job['kind'], 'index'>

const descriptions: Record<StartableKind, string> = {
  gc: 'Deletes what nothing refers to and nobody can restore any more.',
  retain: 'Deletes the tags that the retention policies expire.',
  scan: 'Finds files that the database does not refer to, and removes them.',
  scrub: 'Reads all stored content and compares it with its digests.',
  backup: 'Copies the data folder to the backup folder while the server runs.',
}

function Jobs() {
  const found = useJobs()
  const start = (kind: StartableKind) =>
    kind === 'retain'
      ? runRetention()
      : attempt(() => change('post', 'jobs', { body: { kind } }), `${jobNames[kind]} has started`)
  return (
    <>
      <ul class="card rows">
        {(Object.keys(descriptions) as StartableKind[]).map((kind) => (
          <li key={kind} class="between">
            <span>
              <b>{jobNames[kind]}</b>
              <small class="block">{descriptions[kind]}</small>
            </span>
            <button type="button" aria-label={`Start: ${jobNames[kind]}`} onClick={() => start(kind)}>
              Start
            </button>
          </li>
        ))}
      </ul>
      <h2>Running and recent</h2>
      <Shown of={found}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title="No job has run since the server started" />
          ) : (
            <ul class="card rows">
              {items.map((job) => (
                <li key={job.id}>
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
