import type { Job, Jobs } from '../../../core/jobs/jobs.ts'
import { eventStream, eventText } from './event-stream.ts'

/**
 * Streams a job as server-sent events: `progress` for each change, and `end` as the last event. A slow client gets only
 * the latest change.
 *
 * @param toData returns what to send of the job, as JSON
 * @throws RegistryError TOOMANYREQUESTS if there are too many watchers
 */
export function jobEvents(
  jobs: Jobs,
  id: string,
  toData: (job: Job) => object,
  heartbeatSeconds?: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return eventStream((wake) => {
    let latest: Job | undefined
    const stop = jobs.watch(id, (job) => {
      latest = job
      wake()
    })
    return {
      take() {
        const job = latest
        latest = undefined
        if (job === undefined) return undefined
        const isEnd = job.endedAt !== undefined
        return { text: eventText(isEnd ? 'end' : 'progress', toData(job)), isEnd }
      },
      stop,
    }
  }, heartbeatSeconds)
}
