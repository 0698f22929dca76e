import { t } from 'elysia'
import type { DescribedTag, NamedTag } from '../../../core/content/tags.ts'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { markCreated } from '../operation.ts'
import { mapPage, PageQuery, RepositoryParam } from '../schemas.ts'
import {
  TAG_OPERATIONS as OPERATIONS,
  TagChange,
  TagParam,
  TagRestore,
  TagsQuery,
  TagTarget,
} from './models/tag-models.ts'
import { toMove } from './moves.ts'

const params = t.Object({ repository: RepositoryParam, tag: TagParam })

/** Below /api/v1/repositories/:repository/tags: GET; GET, PUT, PATCH and DELETE /:tag; GET .../history; POST .../restore */
export function tags(context: AdminContext) {
  const { tags, history } = context.content
  const show = async ({ repository, tag }: NamedTag) => toTag(await tags.get(repository, tag))
  return controller(context, 'tags', '/repositories/:repository/tags')
    .get(
      '',
      async ({ params: { repository }, query }) => mapPage(await tags.list(repository, query), toTag),
      { params: t.Object({ repository: RepositoryParam }), query: TagsQuery, ...OPERATIONS.list },
    )
    .get('/:tag', ({ params }) => show(params), { params, ...OPERATIONS.get })
    .put(
      '/:tag',
      async ({ principal, params, body: { digest }, set }) => {
        markCreated(set, await tags.put(principal.act(), params, digest))
        return await show(params)
      },
      { params, body: TagTarget, ...OPERATIONS.put },
    )
    .patch(
      '/:tag',
      async ({ principal, params, body: { expiresAt } }) => {
        await tags.expire(principal.act(), params, expiresAt === null ? null : Date.parse(expiresAt))
        return await show(params)
      },
      { params, body: TagChange, ...OPERATIONS.change },
    )
    .delete('/:tag', ({ principal, params }) => tags.delete(principal.act(), params), {
      params,
      ...OPERATIONS.remove,
    })
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
          throw registryError('REQUEST_INVALID', 'the body: give either digest or at')
        }
        const to = digest === undefined ? { at: Date.parse(at) } : { digest }
        await tags.restore(principal.act(), params, to)
        return await show(params)
      },
      { params, body: TagRestore, ...OPERATIONS.restore },
    )
}

function toTag({ size: bytes, pulls: pullCount, outline, ...tag }: DescribedTag) {
  return omitAbsent({ ...tag, bytes, pullCount, ...outline })
}
