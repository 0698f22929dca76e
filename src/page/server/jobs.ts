import { useEffect, useState } from 'preact/hooks'
import { type Answer, call } from './api.ts'
import { liveJobs } from './live.ts'
import { type Resource, useResource } from './resource.ts'

type Jobs = Answer<'jobs'>

/** How long to wait for the stream before the jobs are read without it. */
const PATIENCE_MILLISECONDS = 2000

/** Follows the newest jobs and their progress. */
export function useNewestJobs(): Resource<Jobs> {
  const [isPatient, setIsPatient] = useState(true)
  useEffect(() => {
    const timer = setTimeout(() => setIsPatient(false), PATIENCE_MILLISECONDS)
    return () => clearTimeout(timer)
  }, [])
  const isRead = liveJobs.value === undefined && !isPatient
  return withLive(useResource(isRead ? 'jobs' : undefined, (signal) => call('get', 'jobs', { signal })))
}

/** Reads the jobs, also those that ended long ago, and follows their progress. */
export function useJobs(): Resource<Jobs> {
  return withLive(useResource('jobs', (signal) => call('get', 'jobs', { signal })))
}

function withLive(found: Resource<Jobs>): Resource<Jobs> {
  const live = liveJobs.value
  if (live === undefined) return found
  const known = new Set(live.map(({ id }) => id))
  const items = [...live, ...(found.data?.items ?? []).filter(({ id }) => !known.has(id))]
  return { ...found, data: { ...found.data, items } }
}
