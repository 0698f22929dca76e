import { t } from 'elysia'
import { operation, type RoutesOf } from '../http/operation.ts'
import { Count, integer, oneOf, pageOf, Time } from '../http/schemas.ts'
import { JOB_KINDS, STARTABLE_KINDS } from './kinds.ts'

const KINDS =
  'gc: delete garbage; scan: find files that the database does not reference; scrub: verify all content; retain: ' +
  'apply the retention policies; backup: back up to `backup.folder`'

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

const one = t.Object({ id: t.String({ maxLength: 64 }) })

/** The routes below /api/v1. */
export const ROUTES = {
  jobs: {
    get: operation('listJobs', 'admin', 'List running jobs and recently ended ones', {
      answer: pageOf(JobModel, 'Jobs, newest first; never more than one page'),
    }),
    post: operation('startJob', 'admin', 'Start a job', {
      description: 'Only one job of each kind runs at a time.',
      body: t.Object({
        kind: oneOf(STARTABLE_KINDS, KINDS),
        removeMany: t.Optional(
          t.Boolean({
            description: 'Let a scan remove more than a tenth of the files, if they are unreferenced',
          }),
        ),
      }),
      answer: JobModel,
      creates: 'always',
      location: ({ id }) => `/${id}`,
      errors: ['CONFLICT', 'UNSUPPORTED'],
    }),
  },
  'jobs/:id': {
    get: operation('getJob', 'admin', 'Show a job', { params: one, answer: JobModel, errors: ['NOT_FOUND'] }),
  },
  'jobs/:id/cancel': {
    post: operation('cancelJob', 'admin', 'Cancel a job', {
      description: 'The job stops as soon as possible. Its work so far is not undone.',
      params: one,
      errors: ['NOT_FOUND', 'CONFLICT'],
    }),
  },
  'jobs/:id/events': {
    get: operation('watchJob', 'admin', 'Watch a job through server-sent events', {
      description: 'Sends `progress` events and then an `end` event, each with the job as JSON.',
      params: one,
      answer: JobEvent,
      mediaType: 'text/event-stream',
      errors: ['NOT_FOUND'],
    }),
  },
}

export type JobsRoutes = RoutesOf<typeof ROUTES>
