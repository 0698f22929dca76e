import { t } from 'elysia'
import type { Principal } from '../../../domain/access/principal.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { markCreated } from '../operation.ts'
import { mapPage, PageQuery, pageParameters, RepositoryParam, time } from '../schemas.ts'
import {
  REPOSITORY_OPERATIONS as OPERATIONS,
  RepositorySettings,
  toRepository,
} from './models/repository-models.ts'
import { toMove } from './moves.ts'

const ListQuery = t.Object({
  ...pageParameters,
  q: t.Optional(t.String({ maxLength: 100, description: 'Part of the name or the description' })),
  deleted: t.Optional(t.Boolean()),
})

const RestoreBody = t.Object({
  deletedAt: t.Optional(time('When the repository was deleted, if several with this name were')),
})

const RewindBody = t.Object({ at: time('The time to rewind the tags to') })

const params = t.Object({ repository: RepositoryParam })

/** Below /api/v1/repositories: GET; GET, PUT, PATCH and DELETE /:repository; POST .../restore, .../rewind; GET .../history */
export function repositories(context: AdminContext) {
  const { repositories, history } = context.content
  const show = async (principal: Principal, repository: RepositoryName) =>
    toRepository(await repositories.get(principal, repository))
  return controller(context, 'repositories', '/repositories')
    .get(
      '',
      async ({ principal, query: { deleted = false, ...query } }) =>
        mapPage(await repositories.list(principal, { ...query, deleted }), toRepository),
      { query: ListQuery, ...OPERATIONS.list },
    )
    .get('/:repository', ({ principal, params: { repository } }) => show(principal, repository), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:repository',
      async ({ principal, params: { repository }, body, set }) => {
        markCreated(set, await repositories.put(principal.act(), repository, body))
        return await show(principal, repository)
      },
      { params, body: RepositorySettings, ...OPERATIONS.put },
    )
    .patch(
      '/:repository',
      async ({ principal, params: { repository }, body }) => {
        await repositories.change(principal.act(), repository, body)
        return await show(principal, repository)
      },
      { params, body: RepositorySettings, ...OPERATIONS.change },
    )
    .delete(
      '/:repository',
      ({ principal, params: { repository } }) => repositories.delete(principal.act(), repository),
      { params, ...OPERATIONS.remove },
    )
    .post(
      '/:repository/restore',
      async ({ principal, params: { repository }, body: { deletedAt } }) => {
        const time = deletedAt === undefined ? undefined : Date.parse(deletedAt)
        await repositories.restore(principal.act(), repository, time)
        return await show(principal, repository)
      },
      { params, body: RestoreBody, ...OPERATIONS.restore },
    )
    .post(
      '/:repository/rewind',
      async ({ principal, params: { repository }, body: { at } }) => {
        const { restored, removed, lost } = await repositories.rewind(
          principal.act(),
          repository,
          Date.parse(at),
        )
        return { restoredCount: restored, deletedCount: removed, lostCount: lost }
      },
      { params, body: RewindBody, ...OPERATIONS.rewind },
    )
    .get(
      '/:repository/history',
      async ({ principal, params: { repository }, query }) =>
        mapPage(await history.moves(repository, undefined, query), (line) => toMove(line, principal)),
      { params, query: PageQuery, ...OPERATIONS.history },
    )
}
