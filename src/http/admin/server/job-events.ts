import type { Job, Jobs } from '../../../core/jobs/jobs.ts'

/** How often an idle stream sends a comment, so that no proxy or server closes it. */
const HEARTBEAT_SECONDS = 5

/**
 * Streams a job as server-sent events (HTML, 9.2): `progress` for each change, and `end` as the last event. A slow client
 * gets only the latest change.
 *
 * Elysia's `sse` is not used: it sends no heartbeat comments, and it notices a disconnect only when the generator yields
 * again, so the client would count as a watcher until then.
 *
 * @param toData returns what to send of the job, as JSON
 * @throws RegistryError TOOMANYREQUESTS if there are too many watchers
 */
export function jobEvents(
  jobs: Jobs,
  id: string,
  toData: (job: Job) => object,
  heartbeatSeconds = HEARTBEAT_SECONDS,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  const encoder = new TextEncoder()
  let latest: Job | undefined
  let wake = () => {}
  let gone = false
  const stop = jobs.watch(id, (job) => {
    latest = job
    wake()
  })
  /** Waits for the next change; undefined when it is time for a heartbeat. */
  const next = async (): Promise<Job | undefined> => {
    if (latest === undefined) {
      const { promise, resolve } = Promise.withResolvers<void>()
      const timer = setTimeout(resolve, heartbeatSeconds * 1000)
      wake = resolve
      await promise
      clearTimeout(timer)
    }
    const job = latest
    latest = undefined
    return job
  }
  return new ReadableStream({
    async pull(controller) {
      const job = await next()
      if (gone) return
      const isEnd = job?.endedAt !== undefined
      const event = job && `event: ${isEnd ? 'end' : 'progress'}\ndata: ${JSON.stringify(toData(job))}\n\n`
      controller.enqueue(encoder.encode(event ?? ': heartbeat\n\n'))
      if (isEnd) controller.close()
    },
    cancel() {
      gone = true
      stop()
      wake()
    },
  })
}
