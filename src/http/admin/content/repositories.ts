import { t } from 'elysia'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { tagged } from '../operation.ts'
import { DONE, mapPage, PageQuery, pageParameters, RepositoryParam } from '../schemas.ts'
import { toMove } from './moves.ts'
import { REPOSITORY_OPERATIONS as OPERATIONS, RepositorySettings, toRepository } from './repository-models.ts'

const ListQuery = t.Object({
  ...pageParameters,
  q: t.Optional(t.String({ maxLength: 100, description: 'Part of the name or the description' })),
  deleted: t.Optional(t.UnionEnum(['true', 'false'], { default: undefined })),
})

const RestoreBody = t.Object({
  deletedAt: t.Optional(
    t.String({
      format: 'date-time',
      description: 'When the repository was deleted, if several with this name were',
    }),
  ),
  at: t.Optional(t.String({ format: 'date-time', description: 'Rewind all tags to this time' })),
})

const params = t.Object({ repository: RepositoryParam })

/** Below /api/v1/repositories: GET; GET, PUT, PATCH and DELETE /:repository; POST .../restore; GET .../history */
export function repositories(context: AdminContext) {
  const { repositories, history } = context.content
  return controller(context, 'repositories', '/repositories')
    .get(
      '',
      async ({ asker, query: { deleted, ...query } }) => {
        const asked = { ...query, deleted: deleted === 'true' }
        return mapPage(await repositories.list(asker, asked), toRepository)
      },
      { query: ListQuery, ...OPERATIONS.list },
    )
    .get(
      '/:repository',
      async ({ asker, params: { repository }, set }) =>
        tagged(set, await repositories.get(asker, repository), (found) => ({
          ...toRepository(found),
          manifests: found.manifestCount,
          manifestBytes: found.manifestBytes,
        })),
      { params, ...OPERATIONS.get },
    )
    .put(
      '/:repository',
      async ({ asker, params: { repository }, body }) => {
        await repositories.put(asker.act(), repository, body)
        return DONE
      },
      { params, body: RepositorySettings, ...OPERATIONS.put },
    )
    .patch(
      '/:repository',
      async ({ asker, params: { repository }, body }) => {
        await repositories.change(asker.act(), repository, body)
        return DONE
      },
      { params, body: RepositorySettings, ...OPERATIONS.change },
    )
    .delete(
      '/:repository',
      async ({ asker, params: { repository } }) => {
        await repositories.delete(asker.act(), repository)
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
    .post(
      '/:repository/restore',
      async ({ asker, params: { repository }, body: { at, deletedAt } }) => {
        if (at === undefined) {
          const time = deletedAt === undefined ? undefined : Date.parse(deletedAt)
          await repositories.restore(asker.act(), repository, time)
          return DONE
        }
        if (deletedAt !== undefined)
          throw registryError('REQUEST_INVALID', 'give either "deletedAt" or "at" in the body, not both')
        return { ...DONE, ...(await repositories.rewind(asker.act(), repository, Date.parse(at))) }
      },
      { params, body: RestoreBody, ...OPERATIONS.restore },
    )
    .get(
      '/:repository/history',
      async ({ asker, params: { repository }, query }) =>
        mapPage(await history.moves(repository, undefined, query), (line) => toMove(line, asker)),
      { params, query: PageQuery, ...OPERATIONS.history },
    )
}
