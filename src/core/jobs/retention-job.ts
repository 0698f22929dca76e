import type { Retention } from '../retention/retention.ts'
import type { JobWork } from './jobs.ts'

/** Returns a run of the retention policies as the work of a job. */
export function retentionJob(retention: Retention): JobWork {
  return async ({ caller, signal, progress }) => ({ ...(await retention.run({ caller, signal, progress })) })
}
