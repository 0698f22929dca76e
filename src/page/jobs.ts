import { type Answer, call } from './api.ts'
import { liveJobs } from './live.ts'
import { type Resource, useResource } from './resource.ts'

type Jobs = Answer<'jobs'>

/** Reads the jobs, and follows their progress. */
export function useJobs(): Resource<Jobs> {
  const found = useResource('jobs', (signal) => call('get', 'jobs', { signal }))
  const live = liveJobs.value
  if (live === undefined || found.data === undefined) return found
  const known = new Set(live.map(({ id }) => id))
  const items = [...live, ...found.data.items.filter(({ id }) => !known.has(id))]
  return { ...found, data: { ...found.data, items } }
}
