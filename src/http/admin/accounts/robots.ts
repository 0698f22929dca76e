import { t } from 'elysia'
import { ownerOf } from '../../../domain/asker.ts'
import type { AccountRow } from '../../../metadata/accounts/accounts.ts'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { DONE, Done, PageQuery, page, pageOf, RobotName, Time, timeOf } from '../schemas.ts'

const Robot = t.Object(
  { name: RobotName, disabled: t.Boolean(), createdAt: Time },
  { description: 'A robot' },
)

/** What each route does, and who may ask for it. */
const OPERATIONS = {
  list: operation({
    id: 'listRobots',
    summary: 'List robots: all to a server admin, else your own',
    access: 'account',
    answer: pageOf(Robot, 'Robots'),
  }),
  get: operation({
    id: 'getRobot',
    summary: 'Show a robot',
    access: 'self',
    answer: Robot,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  add: operation({
    id: 'addRobot',
    summary: 'Add a robot to a user',
    access: 'self',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  change: operation({
    id: 'changeRobot',
    summary: 'Disable or enable a robot',
    access: 'self',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
  remove: operation({
    id: 'removeRobot',
    summary: 'Remove a robot with its tokens and grants',
    access: 'self',
    answer: Done,
    etag: true,
    errors: ['NOT_FOUND'],
  }),
}

/** GET /api/v1/robots; GET, PUT, PATCH and DELETE /api/v1/robots/:name, where a name is `owner+robot`. */
export function robots(context: AdminContext) {
  const { metadata, changes } = context
  const findRobot = (name: string) => {
    const row = metadata.accounts.find(name)
    return row?.kind === 'robot' ? toRobot(row) : undefined
  }
  const params = t.Object({ name: RobotName })
  return controller(context, 'robots', '/robots')
    .get(
      '',
      ({ asker, query }) => {
        const owner = asker.isAdmin ? undefined : asker.self()
        return page(
          query,
          (limit) => metadata.accounts.list('robot', query.last ?? '', limit, owner),
          ({ name }) => name,
          toRobot,
        )
      },
      { query: PageQuery, ...OPERATIONS.list },
    )
    .get('/:name', ({ params: { name } }) => findRobot(name) ?? missing(name), { params, ...OPERATIONS.get })
    .put(
      '/:name',
      async ({ asker, params: { name }, request }) => {
        const robot = { name, kind: 'robot', owner: ownerOf(name), passwordHash: undefined } as const
        await changes.make(
          request,
          `robot ${name}`,
          () => findRobot(name),
          async () => {
            if (findRobot(name) !== undefined) return
            await metadata.write('addAccount', { ...asker.act(), ...robot, isAdmin: false })
          },
        )
        return DONE
      },
      { params, ...OPERATIONS.add },
    )
    .patch(
      '/:name',
      async ({ asker, params: { name }, body: change, request }) => {
        const write = () => metadata.write('changeAccount', { ...asker.act(), name, kind: 'robot', change })
        await changes.make(request, `robot ${name}`, () => findRobot(name), write)
        return DONE
      },
      {
        params,
        body: t.Object({ disabled: t.Boolean() }),
        ...OPERATIONS.change,
      },
    )
    .delete(
      '/:name',
      async ({ asker, params: { name }, request }) => {
        const remove = () => metadata.write('removeAccount', { ...asker.act(), name, kind: 'robot' })
        await changes.make(request, `robot ${name}`, () => findRobot(name), remove)
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
}

function toRobot({ name, disabledAt, createdAt }: AccountRow) {
  return { name, disabled: disabledAt !== null, createdAt: timeOf(createdAt) }
}

function missing(name: string): never {
  throw registryError('NOT_FOUND', `there is no robot ${name}`)
}
