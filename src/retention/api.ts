import { t } from 'elysia'
import { RetentionSchema } from '../config/schema.ts'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { markCreated } from '../http/operation.ts'
import { mapPage } from '../http/schemas.ts'
import { parseRepositoryName } from '../oci/reference.ts'
import { OPERATIONS, PolicyBody, TestQuery } from './models.ts'
import { type PolicySettings, policyOf } from './retention.ts'

const params = t.Object({ name: RetentionSchema.properties.name })

/** Below /api/v1/retention: GET /policies; GET, PUT and DELETE /policies/:name; GET /test */
export function retention(context: AdminContext) {
  const { retention } = context.content
  const show = async (name: string) => omitAbsent(await retention.policies.get(name))
  return controller(context, 'retention', '/retention')
    .get(
      '/policies',
      async () => ({ items: (await retention.policies.list()).map(omitAbsent) }),
      OPERATIONS.list,
    )
    .get('/policies/:name', ({ params: { name } }) => show(name), { params, ...OPERATIONS.get })
    .put(
      '/policies/:name',
      async ({ principal, params: { name }, body, set }) => {
        markCreated(set, await retention.policies.put(principal.act(), name, body))
        return await show(name)
      },
      { params, body: PolicyBody, ...OPERATIONS.put },
    )
    .delete(
      '/policies/:name',
      ({ principal, params: { name } }) => retention.policies.remove(principal.act(), name),
      { params, ...OPERATIONS.remove },
    )
    .get(
      '/test',
      async ({ query: { cursor, limit, repository, expiring, policy, ...settings } }) => {
        const asked = {
          cursor,
          limit,
          repository: repository === undefined ? undefined : parseRepositoryName(repository),
          expiring,
          policy: policy === undefined ? undefined : policyOf(policy, settingsOf(settings)),
        }
        return mapPage(await retention.test(asked), omitAbsent)
      },
      { query: TestQuery, ...OPERATIONS.test },
    )
}

type Asked = Omit<typeof TestQuery.static, 'cursor' | 'limit' | 'repository' | 'expiring' | 'policy'>

/** Returns the settings that a query names. */
function settingsOf({ repositories = '', tags, keep, ...given }: Asked): PolicySettings {
  return {
    ...given,
    repositories: listOf(repositories),
    ...(tags !== undefined && { tags: listOf(tags) }),
    ...(keep !== undefined && { keep: listOf(keep) }),
  }
}

function listOf(text: string): string[] {
  return text.split(',').filter((one) => one !== '')
}
