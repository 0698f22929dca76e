import { t } from 'elysia'
import { QUOTA_LIMITS, QuotaSchema } from '../config/schema.ts'
import { operation, type Route } from '../http/operation.ts'
import { Bytes, ConfiguredIn, Count, pageOf } from '../http/schemas.ts'

const QuotaModel = t.Object(
  {
    ...QuotaSchema.properties,
    inherited: t.Boolean({
      description: 'Whether the quota of `*` applies, because the namespace has none of its own',
    }),
    bytes: t.Optional(Bytes),
    repositoryCount: t.Optional(Count),
    tagCount: t.Optional(Count),
    usedPercent: t.Optional(
      t.Integer({ minimum: 0, description: 'The largest share of a limit that is used' }),
    ),
    configuredIn: ConfiguredIn,
  },
  { description: 'A quota and its usage' },
)

/** Refuses unknown limits. With `additionalProperties: false`, Elysia would drop them silently. */
export const LimitsBody = t.Object(QUOTA_LIMITS, {
  additionalProperties: t.Never(),
  example: { bytesMax: 10_737_418_240, tagsMax: 10_000 },
})

export const OPERATIONS = {
  list: operation('listQuotas', 'admin', 'List the quotas and their usage', {
    answer: pageOf(
      QuotaModel,
      'Quotas by namespace, then the largest namespaces without their own; never more than one page',
    ),
  }),
  get: operation('getQuota', 'admin', 'Show the quota of a namespace', {
    answer: QuotaModel,
    etag: 'partial',
    errors: ['NOT_FOUND'],
  }),
  put: operation('putQuota', 'admin', 'Set the quota of a namespace', {
    answer: QuotaModel,
    creates: 'unless-it-exists',
    etag: true,
    description: 'Takes effect immediately. Stored content stays. Omitted limits are removed.',
    errors: ['CONFLICT'],
  }),
  remove: operation('deleteQuota', 'admin', 'Delete the quota of a namespace', {
    etag: true,
    errors: ['CONFLICT', 'NOT_FOUND'],
  }),
}

/** The routes below /api/v1, for the page and the commands. */
export type QuotaRoutes = {
  'quotas/:namespace': {
    delete: Route<typeof OPERATIONS.remove>
    put: Route<typeof OPERATIONS.put, { body: typeof LimitsBody }>
    get: Route<typeof OPERATIONS.get>
  }
  quotas: { get: Route<typeof OPERATIONS.list> }
}
