import { Elysia, t } from 'elysia'
import { type AdminContext, adminRequest } from './context.ts'
import { Done, PageQuery, page, pageOf, REFUSALS, RobotName, SECURITY, Time, timeOf } from './schemas.ts'

const Robot = t.Object({ name: t.String(), disabled: t.Boolean(), createdAt: Time })

/** GET /api/v1/robots, PUT, PATCH and DELETE /api/v1/robots/:name, where a name is `owner+robot`. */
export function robots(context: AdminContext) {
  const detail = (summary: string, operationId: string) => ({ summary, operationId, security: SECURITY })
  const params = t.Object({ name: RobotName })
  return new Elysia({ name: 'robots', prefix: '/robots', tags: ['accounts'] })
    .get(
      '/',
      async ({ request, query }) => {
        ;(await adminRequest(context, request)).requireAdmin()
        const list = (limit: number) => context.metadata.accounts.list('robot', query.last ?? '', limit)
        const { items, ...rest } = page(list, ({ name }) => name)
        return {
          items: items.map(({ name, disabledAt, createdAt }) => ({
            name,
            disabled: disabledAt !== null,
            createdAt: timeOf(createdAt) ?? '',
          })),
          ...rest,
        }
      },
      {
        query: PageQuery,
        response: { 200: pageOf(Robot, 'Robots'), ...REFUSALS },
        detail: detail('List robots', 'listRobots'),
      },
    )
    .put(
      '/:name',
      async ({ request, params: { name } }) => {
        const admin = await adminRequest(context, request)
        const owner = ownerOf(name)
        admin.requireSelf(owner)
        await context.metadata.write('addAccount', {
          ...admin.act(),
          name,
          kind: 'robot',
          owner,
          passwordHash: undefined,
          isAdmin: false,
        })
        return { done: true as const }
      },
      { params, response: { 200: Done, ...REFUSALS }, detail: detail('Add a robot to a user', 'addRobot') },
    )
    .patch(
      '/:name',
      async ({ request, params: { name }, body }) => {
        const admin = await adminRequest(context, request)
        admin.requireSelf(ownerOf(name))
        await context.metadata.write('changeAccount', { ...admin.act(), name, kind: 'robot', change: body })
        return { done: true as const }
      },
      {
        params,
        body: t.Object({ disabled: t.Boolean() }),
        response: { 200: Done, ...REFUSALS },
        detail: detail('Disable or enable a robot', 'changeRobot'),
      },
    )
    .delete(
      '/:name',
      async ({ request, params: { name } }) => {
        const admin = await adminRequest(context, request)
        admin.requireSelf(ownerOf(name))
        await context.metadata.write('removeAccount', { ...admin.act(), name, kind: 'robot' })
        return { done: true as const }
      },
      {
        params,
        response: { 200: Done, ...REFUSALS },
        detail: detail('Remove a robot with its tokens and grants', 'removeRobot'),
      },
    )
}

/** The user that an account belongs to: a robot's owner, or itself. */
export function ownerOf(account: string): string {
  return account.split('+', 1)[0] ?? account
}
