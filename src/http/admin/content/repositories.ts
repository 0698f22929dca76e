import { t } from 'elysia'
import type { NamedRepository } from '../../../core/content/repositories.ts'
import { registryError } from '../../../oci/error.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { DONE, mapPage, PageQuery, pageParameters, RepositoryParam } from '../schemas.ts'
import { toMove } from './moves.ts'
import {
  REPOSITORY_OPERATIONS as OPERATIONS,
  RepositorySettings,
  stateOfRepository,
  toRepository,
  toState,
} from './repository-models.ts'

const ListQuery = t.Object({
  ...pageParameters,
  q: t.Optional(t.String({ maxLength: 100, description: 'A part of the name or the description' })),
  deleted: t.Optional(t.UnionEnum(['true', 'false'], { default: undefined })),
})

const RestoreBody = t.Object({
  deletedAt: t.Optional(t.String({ format: 'date-time', description: 'Which one, of several of this name' })),
  at: t.Optional(t.String({ format: 'date-time', description: 'To which time its tags go back' })),
})

const params = t.Object({ repository: RepositoryParam })

/** Below /api/v1/repositories: GET; GET, PUT, PATCH and DELETE /:repository; POST .../restore; GET .../history */
export function repositories(context: AdminContext) {
  const { repositories, history } = context.content
  const change = changesOf(context)
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
      async ({ asker, params: { repository } }) => {
        const found = await repositories.get(asker, repository)
        return { ...toRepository(found), manifests: found.manifests, manifestBytes: found.manifestBytes }
      },
      { params, ...OPERATIONS.get },
    )
    .put(
      '/:repository',
      async ({ asker, params: { repository }, body, request }) => {
        await change(request, repository, (named) => repositories.put(asker.act(), named, body))
        return DONE
      },
      { params, body: RepositorySettings, ...OPERATIONS.put },
    )
    .patch(
      '/:repository',
      async ({ asker, params: { repository }, body, request }) => {
        await change(request, repository, (named) => repositories.change(asker.act(), named, body))
        return DONE
      },
      { params, body: RepositorySettings, ...OPERATIONS.change },
    )
    .delete(
      '/:repository',
      async ({ asker, params: { repository }, request }) => {
        await change(request, repository, (named) => repositories.delete(asker.act(), named))
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
        if (deletedAt !== undefined) throw registryError('REQUEST_INVALID', 'body: either deletedAt, or at')
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

/** Makes changes that are told of the state that a condition was checked against, so that no push comes between. */
function changesOf({ changes, content }: AdminContext) {
  return <T>(
    request: Request,
    repository: RepositoryName,
    change: (named: NamedRepository) => Promise<T>,
  ): Promise<T> => {
    let expected: NamedRepository['expected']
    const read = async () => {
      const row = await content.repositories.find(repository)
      expected = row ?? null
      return row && stateOfRepository(toState(row))
    }
    return changes.make(request, `the repository ${repository}`, read, () => change({ repository, expected }))
  }
}
