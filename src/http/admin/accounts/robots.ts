import { t } from 'elysia'
import type { Robot } from '../../../core/accounts/robots.ts'
import { type AdminContext, controller } from '../context.ts'
import { markCreated, operation } from '../operation.ts'
import { mapPage, PageQuery, pageOf, RobotName, Time, timeOf } from '../schemas.ts'

const RobotModel = t.Object(
  { name: RobotName, disabled: t.Boolean(), createdAt: Time },
  { description: 'A robot' },
)

/** The operations on robots. */
const OPERATIONS = {
  list: operation('listRobots', 'account', 'List robots: all for server admins, otherwise your own', {
    answer: pageOf(RobotModel, 'Robots'),
  }),
  get: operation('getRobot', 'self', 'Show a robot', {
    answer: RobotModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation('putRobot', 'self', 'Create a robot', {
    answer: RobotModel,
    creates: 'unless-it-exists',
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  change: operation('updateRobot', 'self', 'Disable or enable a robot', {
    answer: RobotModel,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  remove: operation('deleteRobot', 'self', 'Delete a robot with its tokens and grants', {
    etag: true,
    errors: ['NOT_FOUND'],
  }),
}

/** GET /api/v1/robots; GET, PUT, PATCH and DELETE /api/v1/robots/:name, where the name is `owner+robot`. */
export function robots(context: AdminContext) {
  const { robots } = context.accounts
  const params = t.Object({ name: RobotName })
  return controller(context, 'robots', '/robots')
    .get(
      '',
      async ({ principal, query }) => {
        const owner = principal.isAdmin ? undefined : principal.self()
        return mapPage(await robots.list(query, owner), toRobot)
      },
      { query: PageQuery, ...OPERATIONS.list },
    )
    .get('/:name', async ({ params: { name } }) => toRobot(await robots.get(name)), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:name',
      async ({ principal, params: { name }, set }) => {
        markCreated(set, await robots.put(principal.act(), name))
        return toRobot(await robots.get(name))
      },
      { params, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ principal, params: { name }, body }) => {
        await robots.change(principal.act(), name, body)
        return toRobot(await robots.get(name))
      },
      { params, body: t.Object({ disabled: t.Boolean() }), ...OPERATIONS.change },
    )
    .delete('/:name', ({ principal, params: { name } }) => robots.delete(principal.act(), name), {
      params,
      ...OPERATIONS.remove,
    })
}

function toRobot({ name, disabledAt, createdAt, version }: Robot) {
  return { name, disabled: disabledAt !== null, createdAt: timeOf(createdAt), version }
}
