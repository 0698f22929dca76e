import { t } from 'elysia'
import { QUOTA_LIMITS, QuotaSchema } from '../../../config/quota-schema.ts'
import type { QuotaState } from '../../../core/quota/quotas.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { markCreated, operation } from '../operation.ts'

import { Bytes, ConfiguredIn, Count, pageOf } from '../schemas.ts'

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
const LimitsBody = t.Object(QUOTA_LIMITS, {
  additionalProperties: t.Never(),
  example: { bytesMax: 10_737_418_240, tagsMax: 10_000 },
})

const params = t.Object({ namespace: QuotaSchema.properties.namespace })

const OPERATIONS = {
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

/** GET /api/v1/quotas; GET, PUT and DELETE /api/v1/quotas/:namespace */
export function quotas(context: AdminContext) {
  const { quotas } = context.content
  const show = (namespace: string) => toQuota(quotas.get(namespace))
  return controller(context, 'quotas', '/quotas')
    .get('', async () => ({ items: (await quotas.list()).map(toQuota) }), OPERATIONS.list)
    .get('/:namespace', ({ params: { namespace } }) => show(namespace), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:namespace',
      async ({ principal, params: { namespace }, body, set }) => {
        markCreated(set, await quotas.put(principal.act(), namespace, body))
        return show(namespace)
      },
      { params, body: LimitsBody, ...OPERATIONS.put },
    )
    .delete(
      '/:namespace',
      ({ principal, params: { namespace } }) => quotas.remove(principal.act(), namespace),
      { params, ...OPERATIONS.remove },
    )
}

function toQuota({ usage, percent: usedPercent, ...quota }: QuotaState) {
  const { bytes, repositories: repositoryCount, tags: tagCount } = usage ?? {}
  return omitAbsent({ ...quota, bytes, repositoryCount, tagCount, usedPercent })
}
