import { t } from 'elysia'
import { QuotaSchema } from '../config/schema.ts'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { markCreated } from '../http/operation.ts'
import { LimitsBody, OPERATIONS } from './models.ts'
import type { QuotaState } from './quota.ts'

const params = t.Object({ namespace: QuotaSchema.properties.namespace })

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
