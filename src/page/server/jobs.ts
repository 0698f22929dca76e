import { useEffect, useState } from 'preact/hooks'
import type { Answer } from './api.ts'
import { liveJobs } from './live.ts'
import { type Resource, useAnswer } from './resource.ts'

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
  return withLive(useAnswer('jobs', isRead && {}))
}

/** Reads the jobs, also those that ended long ago, and follows their progress. */
export function useJobs(): Resource<Jobs> {
  return withLive(useAnswer('jobs'))
}

function withLive(found: Resource<Jobs>): Resource<Jobs> {
  const live = liveJobs.value
  if (live === undefined) return found
  const known = new Set(live.map(({ id }) => id))
  const items = [...live, ...(found.data?.items ?? []).filter(({ id }) => !known.has(id))]
  return { ...found, data: { ...found.data, items } }
}
