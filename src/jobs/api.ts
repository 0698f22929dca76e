import { type AdminContext, answerEvents, controller, eventStream, eventText } from '../http/controller.ts'
import { type Job, type Jobs, toJob } from './jobs.ts'
import { ROUTES } from './models.ts'

/** GET and POST /api/v1/jobs; GET /api/v1/jobs/:id, /jobs/:id/events; POST /api/v1/jobs/:id/cancel */
export function jobs(context: AdminContext) {
  const { jobs } = context.content
  return controller(context, 'jobs', '/jobs')
    .get('', () => ({ items: jobs.list().map(toJob) }), ROUTES.jobs.get)
    .post(
      '',
      async ({ principal, body: { kind, ...options } }) =>
        toJob(await jobs.start(kind, principal.act(), options)),
      ROUTES.jobs.post,
    )
    .get('/:id', ({ params: { id } }) => toJob(jobs.get(id)), ROUTES['jobs/:id'].get)
    .post(
      '/:id/cancel',
      ({ principal, params: { id } }) => jobs.cancel(id, principal.act()),
      ROUTES['jobs/:id/cancel'].post,
    )
    .get(
      '/:id/events',
      ({ params: { id }, request: { method } }) => {
        const job = jobs.get(id)
        return answerEvents(method, () => jobEvents(jobs, job.id, toJob))
      },
      ROUTES['jobs/:id/events'].get,
    )
}

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
