import { Attention } from '../parts/attention.tsx'
import { Card } from '../parts/card.tsx'
import { DiskCard } from '../parts/charts/disk-card.tsx'
import { StorageMap } from '../parts/charts/storage-map.tsx'
import { EventLine } from '../parts/event-line.tsx'
import { JobLine } from '../parts/job-line.tsx'
import { PageHeader } from '../parts/page-header.tsx'
import { Shown } from '../parts/states.tsx'
import { Time } from '../parts/tables/values.tsx'
import type { Item } from '../server/api.ts'
import { useNewestJobs } from '../server/jobs.ts'
import { useAnswer } from '../server/resource.ts'
import { caller } from '../server/session.ts'
import { countOf } from '../values/format.ts'
import { SignIn } from './accounts/sign-in.tsx'
import { Repositories } from './repository/repositories.tsx'

const EVENTS_READ = 60
const EVENTS_SHOWN = 10
const JOBS_SHOWN = 4

/** The first page. Admins see how the server is; others see the repositories; who may see nothing can sign in. */
export function Home() {
  if (!caller.value?.catalogAccess) return <SignIn />
  if (!caller.value.admin) return <Repositories />
  return <AdminHome />
}

function AdminHome() {
  const storage = useAnswer('storage')
  const upstreams = useAnswer('upstreams')
  return (
    <>
      <PageHeader title="Home" />
      <Attention damagedCount={storage.data?.damagedCount ?? 0} />
      <div class="cards">
        <DiskCard of={storage} />
        <ServerCard upstreams={upstreams.data?.items ?? []} />
      </div>
      <StorageMap />
      <div class="cards">
        <RecentChanges />
        <RecentJobs />
      </div>
    </>
  )
}

function ServerCard({ upstreams }: { upstreams: Item<'upstreams'>[] }) {
  const server = useAnswer('server')
  return (
    <Card title="Server">
      <Shown of={server}>
        {({ ready, problem, version, startedAt }) => (
          <>
            <p class="big">
              <span class={ready ? 'chip good' : 'chip bad'}>{ready ? 'Healthy' : problem}</span>
            </p>
            <p class="muted">
              cay {version}, started <Time at={startedAt} />
            </p>
          </>
        )}
      </Shown>
      <ul class="lines">
        {upstreams.map(({ name, state, pullsRemaining }) => (
          <li key={name} class="between">
            <a href="/cache">{name}</a>
            <span>
              {pullsRemaining !== undefined && <small>{countOf(pullsRemaining, 'pull')} left </small>}
              <span class={state === 'up' ? 'chip good' : 'chip warning'}>{state}</span>
            </span>
          </li>
        ))}
      </ul>
    </Card>
  )
}

function RecentChanges() {
  const found = useAnswer('events', { query: { limit: EVENTS_READ } })
  return (
    <Card title="What changed" aside={<a href="/activity">All</a>}>
      <Shown of={found}>
        {({ items }) => {
          const shown = items.filter(({ type }) => !type.startsWith('blob.')).slice(0, EVENTS_SHOWN)
          if (shown.length === 0) return <p class="muted">Nothing has changed yet.</p>
          return (
            <ul class="lines events">
              {shown.map((event) => (
                <li key={event.id} class="between">
                  <EventLine event={event} />
                </li>
              ))}
            </ul>
          )
        }}
      </Shown>
    </Card>
  )
}

function RecentJobs() {
  const found = useNewestJobs()
  return (
    <Card title="Jobs" aside={<a href="/maintenance">All</a>}>
      <Shown of={found}>
        {({ items }) => {
          if (items.length === 0) return <p class="muted">No job has run since the server started.</p>
          return (
            <ul class="lines">
              {items.slice(0, JOBS_SHOWN).map((job) => (
                <li key={job.id}>
                  <JobLine job={job} />
                </li>
              ))}
            </ul>
          )
        }}
      </Shown>
    </Card>
  )
}
