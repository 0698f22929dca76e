import type { Job, Jobs } from '../../../core/jobs/jobs.ts'

/** A comment is sent when there was nothing for so long, that no proxy nor server takes the stream for dead. */
const HEARTBEAT_SECONDS = 5

/**
 * A job as server-sent events (HTML, 9.2): `progress` for its changes, of which a slow client gets the last ones
 * only, and `end`, with which the stream ends.
 *
 * Elysia's `sse` is not used: it sends no comments as heartbeats, and it notices that a client has left only when the
 * generator yields again, so the client would keep its place among the watchers until then.
 *
 * @param toData what is sent of the job, as JSON
 * @throws RegistryError TOOMANYREQUESTS when too many watch jobs
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
  /** The next thing to send: a change, or a comment when there is none for a while. */
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
      controller.enqueue(encoder.encode(event ?? ': still there\n\n'))
      if (isEnd) controller.close()
    },
    cancel() {
      gone = true
      stop()
      wake()
    },
  })
}
