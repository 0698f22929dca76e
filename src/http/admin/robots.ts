import { t } from 'elysia'
import { type AdminContext, controller, ownerOf } from './context.ts'
import { DONE, Done, operation, PageQuery, page, pageOf, RobotName, Time, timeOf } from './schemas.ts'

const Robot = t.Object({ name: t.String(), disabled: t.Boolean(), createdAt: Time })

/** GET /api/v1/robots; PUT, PATCH and DELETE /api/v1/robots/:name, where a name is `owner+robot`. */
export function robots(context: AdminContext) {
  const { metadata } = context
  const params = t.Object({ name: RobotName })
  return controller(context, 'robots', '/robots')
    .get(
      '',
      ({ asker, query: { last = '' } }) => {
        if (!asker.isAdmin) asker.owner(asker.account)
        const owner = asker.isAdmin ? undefined : asker.account
        return page(
          (limit) => metadata.accounts.list('robot', last, limit, owner),
          ({ name }) => name,
          ({ name, disabledAt, createdAt }) => ({
            ...{ name, disabled: disabledAt !== null, createdAt: timeOf(createdAt) },
          }),
        )
      },
      {
        query: PageQuery,
        ...operation(
          'List robots: all to a server admin, else your own',
          'listRobots',
          pageOf(Robot, 'Robots'),
        ),
      },
    )
    .put(
      '/:name',
      async ({ asker, params: { name } }) => {
        const robot = { name, kind: 'robot', owner: ownerOf(name), passwordHash: undefined } as const
        await metadata.write('addAccount', { ...asker.owner(name), ...robot, isAdmin: false })
        return DONE
      },
      { params, ...operation('Add a robot to a user', 'addRobot', Done) },
    )
    .patch(
      '/:name',
      async ({ asker, params: { name }, body: change }) => {
        await metadata.write('changeAccount', { ...asker.owner(name), name, kind: 'robot', change })
        return DONE
      },
      {
        params,
        body: t.Object({ disabled: t.Boolean() }),
        ...operation('Disable or enable a robot', 'changeRobot', Done),
      },
    )
    .delete(
      '/:name',
      async ({ asker, params: { name } }) => {
        await metadata.write('removeAccount', { ...asker.owner(name), name, kind: 'robot' })
        return DONE
      },
      { params, ...operation('Remove a robot with its tokens and grants', 'removeRobot', Done) },
    )
}
