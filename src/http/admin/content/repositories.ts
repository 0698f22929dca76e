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
      async ({ principal, query: { deleted, ...query } }) => {
        const asked = { ...query, deleted: deleted === 'true' }
        return mapPage(await repositories.list(principal, asked), toRepository)
      },
      { query: ListQuery, ...OPERATIONS.list },
    )
    .get(
      '/:repository',
      async ({ principal, params: { repository }, set }) =>
        tagged(set, await repositories.get(principal, repository), (found) => ({
          ...toRepository(found),
          manifests: found.manifestCount,
          manifestBytes: found.manifestBytes,
        })),
      { params, ...OPERATIONS.get },
    )
    .put(
      '/:repository',
      async ({ principal, params: { repository }, body }) => {
        await repositories.put(principal.act(), repository, body)
        return DONE
      },
      { params, body: RepositorySettings, ...OPERATIONS.put },
    )
    .patch(
      '/:repository',
      async ({ principal, params: { repository }, body }) => {
        await repositories.change(principal.act(), repository, body)
        return DONE
      },
      { params, body: RepositorySettings, ...OPERATIONS.change },
    )
    .delete(
      '/:repository',
      async ({ principal, params: { repository } }) => {
        await repositories.delete(principal.act(), repository)
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
    .post(
      '/:repository/restore',
      async ({ principal, params: { repository }, body: { at, deletedAt } }) => {
        if (at === undefined) {
          const time = deletedAt === undefined ? undefined : Date.parse(deletedAt)
          await repositories.restore(principal.act(), repository, time)
          return DONE
        }
        if (deletedAt !== undefined)
          throw registryError('REQUEST_INVALID', 'give either "deletedAt" or "at" in the body, not both')
        return { ...DONE, ...(await repositories.rewind(principal.act(), repository, Date.parse(at))) }
      },
      { params, body: RestoreBody, ...OPERATIONS.restore },
    )
    .get(
      '/:repository/history',
      async ({ principal, params: { repository }, query }) =>
        mapPage(await history.moves(repository, undefined, query), (line) => toMove(line, principal)),
      { params, query: PageQuery, ...OPERATIONS.history },
    )
}
