import { t } from 'elysia'
import type { DescribedTag } from '../../../core/content/tags.ts'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { tagged } from '../operation.ts'
import { present } from '../present.ts'
import { DONE, mapPage, PageQuery, RepositoryParam } from '../schemas.ts'
import { toMove } from './moves.ts'
import {
  TAG_OPERATIONS as OPERATIONS,
  TagChange,
  TagParam,
  TagRestore,
  TagsQuery,
  TagTarget,
} from './tag-models.ts'

const params = t.Object({ repository: RepositoryParam, tag: TagParam })

/** Below /api/v1/repositories/:repository/tags: GET; GET, PUT, PATCH and DELETE /:tag; GET .../history; POST .../restore */
export function tags(context: AdminContext) {
  const { tags, history } = context.content
  return controller(context, 'tags', '/repositories/:repository/tags')
    .get(
      '',
      async ({ params: { repository }, query }) => mapPage(await tags.list(repository, query), toTag),
      {
        params: t.Object({ repository: RepositoryParam }),
        query: TagsQuery,
        ...OPERATIONS.list,
      },
    )
    .get(
      '/:tag',
      async ({ params: { repository, tag }, set }) => tagged(set, await tags.get(repository, tag), toTag),
      { params, ...OPERATIONS.get },
    )
    .put(
      '/:tag',
      async ({ principal, params, body: { digest } }) => {
        await tags.put(principal.act(), params, digest)
        return DONE
      },
      { params, body: TagTarget, ...OPERATIONS.put },
    )
    .patch(
      '/:tag',
      async ({ principal, params, body: { expiresAt } }) => {
        await tags.expire(principal.act(), params, expiresAt === null ? null : Date.parse(expiresAt))
        return DONE
      },
      { params, body: TagChange, ...OPERATIONS.change },
    )
    .delete(
      '/:tag',
      async ({ principal, params }) => {
        await tags.delete(principal.act(), params)
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
    .get(
      '/:tag/history',
      async ({ principal, params: { repository, tag }, query }) =>
        mapPage(await history.moves(repository, tag, query), (line) => toMove(line, principal)),
      { params, query: PageQuery, ...OPERATIONS.history },
    )
    .post(
      '/:tag/restore',
      async ({ principal, params, body: { digest, at = '' } }) => {
        if ((digest === undefined) === (at === '')) {
          throw registryError('REQUEST_INVALID', 'give either "digest" or "at" in the body')
        }
        const to = digest === undefined ? { at: Date.parse(at) } : { digest }
        return { ...DONE, digest: await tags.restore(principal.act(), params, to) }
      },
      { params, body: TagRestore, ...OPERATIONS.restore },
    )
}

function toTag({ size: bytes, ...tag }: DescribedTag) {
  return present({ ...tag, bytes })
}
