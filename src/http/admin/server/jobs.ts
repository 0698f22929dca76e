import { t } from 'elysia'
import { JOB_KINDS, STARTABLE_KINDS } from '../../../core/jobs/job-kinds.ts'
import type { Job } from '../../../core/jobs/jobs.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { Count, integer, oneOf, pageOf, Time } from '../schemas.ts'
import { answerEvents } from './event-stream.ts'
import { jobEvents } from './job-events.ts'

const KINDS =
  'gc: delete garbage; scan: find files that the database does not reference; scrub: verify all content; retain: ' +
  'apply the retention policies; backup: back up to `backup.folder`'

const StartableKind = oneOf(STARTABLE_KINDS, KINDS)

const Kind = oneOf(
  JOB_KINDS,
  `${KINDS}; index: list the files of layers, or compare those of images, which starts when somebody looks at them`,
)

const JobModel = t.Object(
  {
    id: t.String(),
    kind: Kind,
    state: oneOf(['waiting', 'running', 'done', 'failed', 'cancelled']),
    progress: t.Object({ done: Count, total: t.Optional(Count) }),
    startedBy: t.String({ description: 'The account that started it' }),
    startedAt: Time,
    endedAt: t.Optional(Time),
    result: t.Optional(t.Record(t.String(), integer(), { description: 'Counters by name' })),
    error: t.Optional(t.String()),
  },
  { description: 'A job' },
)

const JobEvent = t.Object(
  {
    event: oneOf(['progress', 'end']),
    data: t.String({ description: 'The job, as JSON', example: '{"id":"...","state":"done"}' }),
  },
  { description: 'An event' },
)

const OPERATIONS = {
  list: operation('listJobs', 'admin', 'List running jobs and recently ended ones', {
    answer: pageOf(JobModel, 'Jobs, newest first; never more than one page'),
  }),
  start: operation('startJob', 'admin', 'Start a job', {
    answer: JobModel,
    creates: 'always',
    location: ({ id }) => `/${id}`,
    description: 'Only one job of each kind runs at a time.',
    errors: ['CONFLICT', 'UNSUPPORTED'],
  }),
  get: operation('getJob', 'admin', 'Show a job', { answer: JobModel, errors: ['NOT_FOUND'] }),
  cancel: operation('cancelJob', 'admin', 'Cancel a job', {
    description: 'The job stops as soon as possible. Its work so far is not undone.',
    errors: ['NOT_FOUND', 'CONFLICT'],
  }),
  watch: operation('watchJob', 'admin', 'Watch a job through server-sent events', {
    description: 'Sends `progress` events and then an `end` event, each with the job as JSON.',
    answer: JobEvent,
    mediaType: 'text/event-stream',
    errors: ['NOT_FOUND'],
  }),
}

/** GET and POST /api/v1/jobs; GET /api/v1/jobs/:id, /jobs/:id/events; POST /api/v1/jobs/:id/cancel */
export function jobs(context: AdminContext) {
  const { jobs } = context.content
  const params = t.Object({ id: t.String({ maxLength: 64 }) })
  return controller(context, 'jobs', '/jobs')
    .get('', () => ({ items: jobs.list().map(toJob) }), OPERATIONS.list)
    .post(
      '',
      async ({ principal, body: { kind, ...options } }) =>
        toJob(await jobs.start(kind, principal.act(), options)),
      {
        body: t.Object({
          kind: StartableKind,
          removeMany: t.Optional(
            t.Boolean({
              description: 'Let a scan remove more than a tenth of the files, if they are unreferenced',
            }),
          ),
        }),
        ...OPERATIONS.start,
      },
    )
    .get('/:id', ({ params: { id } }) => toJob(jobs.get(id)), { params, ...OPERATIONS.get })
    .post('/:id/cancel', ({ principal, params: { id } }) => jobs.cancel(id, principal.act()), {
      params,
      ...OPERATIONS.cancel,
    })
    .get(
      '/:id/events',
      ({ params: { id }, request: { method } }) => {
        const job = jobs.get(id)
        return answerEvents(method, () => jobEvents(jobs, job.id, toJob))
      },
      { params, ...OPERATIONS.watch },
    )
}

/** Converts a job to a response. */
export function toJob(job: Job) {
  return omitAbsent({ ...job, progress: omitAbsent(job.progress) })
}
