import { t } from 'elysia'
import type { DescribedTag, NamedTag } from '../../../core/content/tags.ts'
import type { Precondition } from '../../../domain/precondition.ts'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { present } from '../present.ts'
import { DONE, mapPage, PageQuery, RepositoryParam, timeOf, timeOrNot } from '../schemas.ts'
import { toMove } from './moves.ts'
import {
  TAG_OPERATIONS as OPERATIONS,
  stateOfTag,
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
  const change = changesOf(context)
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
    .get('/:tag', async ({ params: { repository, tag } }) => toTag(await tags.get(repository, tag)), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:tag',
      async ({ asker, params, body: { digest }, request }) => {
        await change(request, params, (named) => tags.put(asker.act(), named, digest))
        return DONE
      },
      { params, body: TagTarget, ...OPERATIONS.put },
    )
    .patch(
      '/:tag',
      async ({ asker, params, body: { expiresAt }, request }) => {
        const end = expiresAt === null ? null : Date.parse(expiresAt)
        await change(request, params, (named) => tags.expire(asker.act(), named, end))
        return DONE
      },
      { params, body: TagChange, ...OPERATIONS.change },
    )
    .delete(
      '/:tag',
      async ({ asker, params, request }) => {
        await change(request, params, (named) => tags.delete(asker.act(), named))
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
    .get(
      '/:tag/history',
      async ({ asker, params: { repository, tag }, query }) =>
        mapPage(await history.moves(repository, tag, query), (line) => toMove(line, asker)),
      { params, query: PageQuery, ...OPERATIONS.history },
    )
    .post(
      '/:tag/restore',
      async ({ asker, params, body: { digest, at = '' } }) => {
        if ((digest === undefined) === (at === '')) {
          throw registryError('REQUEST_INVALID', 'body: either digest, or at')
        }
        const to = digest === undefined ? { at: Date.parse(at) } : { digest }
        return { ...DONE, digest: await tags.restore(asker.act(), params, to) }
      },
      { params, body: TagRestore, ...OPERATIONS.restore },
    )
}

/** Makes changes that are told of the state that a condition was checked against, so that no push comes between. */
function changesOf({ changes, content }: AdminContext) {
  return <T>(request: Request, named: NamedTag, change: (named: NamedTag) => Promise<T>): Promise<T> => {
    let precondition: Precondition | undefined
    const read = async () => {
      const found = await content.tags.find(named.repository, named.tag)
      precondition = found ? { ifMatch: [found.digest], expiresAt: found.expiresAt } : { ifNoneMatch: ['*'] }
      return found && stateOfTag(toTag(found))
    }
    const resource = `the tag ${named.repository}:${named.tag}`
    return changes.make(request, resource, read, () => change({ ...named, precondition }))
  }
}

function toTag(row: DescribedTag) {
  const { name, digest, mediaType, artifactType, size, kind, pulls } = row
  return present({
    name,
    digest,
    mediaType,
    artifactType,
    bytes: size,
    pulls,
    kind,
    pushedAt: timeOf(row.pushedAt),
    updatedAt: timeOf(row.updatedAt),
    expiresAt: timeOrNot(row.expiresAt),
    lastPulledAt: timeOrNot(row.lastPulledAt),
  })
}
