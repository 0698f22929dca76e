import { t } from 'elysia'
import { unknownIn, unknownRepository } from '../../../core/unknown.ts'
import type { Asker } from '../../../domain/asker.ts'
import type { Precondition } from '../../../domain/precondition.ts'
import type { TagRow } from '../../../metadata/content/tags.ts'
import { registryError } from '../../../oci/error.ts'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { cursorOf, parseCursor } from '../cursor.ts'
import { present } from '../present.ts'
import { DONE, PageQuery, page, RepositoryParam, timeOf } from '../schemas.ts'
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
  const { metadata, content } = context
  const reads = readsOf(context)
  const acts = changesOf(context, reads.find)
  return controller(context, 'tags', '/repositories/:repository/tags')
    .get('', ({ params: { repository }, query }) => reads.list(repository, query), {
      params: t.Object({ repository: RepositoryParam }),
      query: TagsQuery,
      ...OPERATIONS.list,
    })
    .get('/:tag', ({ params: { repository, tag } }) => reads.get(repository, tag), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:tag',
      async ({ asker, params, body: { digest }, request }) => {
        const call = { ...asker.act(), ...params, digest }
        await acts.change(request, params, (precondition) =>
          metadata.write('putTag', { ...call, precondition }),
        )
        return DONE
      },
      { params, body: TagTarget, ...OPERATIONS.put },
    )
    .patch(
      '/:tag',
      async ({ asker, params, body: { expiresAt }, request }) => {
        const end = expiresAt === null ? null : Date.parse(expiresAt)
        const call = { ...asker.act(), ...params, expiresAt: end }
        await acts.change(request, params, (precondition) =>
          metadata.write('expireTag', { ...call, precondition }),
        )
        return DONE
      },
      { params, body: TagChange, ...OPERATIONS.change },
    )
    .delete(
      '/:tag',
      async ({ asker, params, request }) => {
        const { caller } = asker.act()
        await acts.change(request, params, (precondition) =>
          content.registry.manifests.delete(caller, params.repository, { tag: params.tag }, precondition),
        )
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
    .get('/:tag/history', ({ asker, params, query }) => reads.history(asker, params, query), {
      params,
      query: PageQuery,
      ...OPERATIONS.history,
    })
    .post('/:tag/restore', ({ asker, params, body }) => acts.restore(asker, params, body), {
      params,
      body: TagRestore,
      ...OPERATIONS.restore,
    })
}

interface Named {
  repository: RepositoryName
  tag: Tag
}

function readsOf({ metadata, content, now }: AdminContext) {
  const toTag = (row: TagRow) => {
    const { name, digest, mediaType, artifactType, size, expiresAt, pulls, lastPulledAt } = row
    return present({
      name,
      digest,
      mediaType,
      artifactType,
      bytes: size,
      pulls,
      kind: content.descriptions.kindOf({ ...row, digest: row.storedAs }),
      pushedAt: timeOf(row.pushedAt),
      updatedAt: timeOf(row.updatedAt),
      expiresAt: expiresAt === null ? undefined : timeOf(expiresAt),
      lastPulledAt: lastPulledAt === null ? undefined : timeOf(lastPulledAt),
    })
  }
  return {
    list(repository: RepositoryName, query: typeof TagsQuery.static) {
      const { q, sort = 'name', order = 'asc', last } = query
      const after = sort === 'name' ? afterName(last) : afterTime(last)
      return page(
        query,
        (limit) => {
          const found = metadata.tags.search(repository, { q, sort, order, after }, limit, now())
          if (found === undefined) throw unknownRepository(repository)
          return found
        },
        ({ name, updatedAt }) => (sort === 'name' ? name : `${cursorOf(updatedAt)}.${name}`),
        toTag,
      )
    },

    /** The tag as GET answers it. */
    find(repository: RepositoryName, tag: Tag) {
      const row = metadata.tags.find(repository, tag, now())
      return row && toTag(row)
    },

    get(repository: RepositoryName, tag: Tag) {
      const found = this.find(repository, tag)
      if (found !== undefined) return found
      const unknown = registryError('MANIFEST_UNKNOWN', `${repository} has no tag "${tag}"`)
      throw unknownIn(metadata, repository, unknown)
    },

    history(asker: Asker, { repository, tag }: Named, query: typeof PageQuery.static) {
      const [before = 0] = parseCursor(query.last, Number.MAX_SAFE_INTEGER)
      return page(
        query,
        (limit) => {
          const lines = metadata.history.ofTag(repository, tag, before, limit)
          if (lines === undefined) throw unknownRepository(repository)
          return lines
        },
        ({ id }) => cursorOf(id),
        (line) => toMove(line, asker),
      )
    },
  }
}

function changesOf({ metadata, changes, content }: AdminContext, find: ReturnType<typeof readsOf>['find']) {
  return {
    /** The write is told of the state that a condition was checked against, so that no push comes between. */
    change<T>(
      request: Request,
      { repository, tag }: Named,
      write: (precondition: Precondition | undefined) => Promise<T>,
    ): Promise<T> {
      let precondition: Precondition | undefined
      const read = () => {
        const found = find(repository, tag)
        const expiresAt = found?.expiresAt === undefined ? null : Date.parse(found.expiresAt)
        precondition = found === undefined ? { ifNoneMatch: ['*'] } : { ifMatch: [found.digest], expiresAt }
        return found && stateOfTag(found)
      }
      return changes.make(request, `the tag ${repository}:${tag}`, read, () => write(precondition))
    },

    async restore(asker: Asker, named: Named, { digest, at }: typeof TagRestore.static) {
      const act = asker.act()
      if ((digest === undefined) === (at === undefined)) {
        throw registryError('REQUEST_INVALID', 'body: either digest, or at')
      }
      const to = digest === undefined ? { at: Date.parse(at ?? '') } : { digest }
      const call = { ...act, ...named, windowStart: act.at - content.retention.windowMs, to }
      const restored = await metadata.write('restoreTag', call)
      return { ...DONE, digest: restored.digest }
    },
  }
}

function afterName(last: string | undefined) {
  return last === undefined || last === '' ? undefined : { name: last as Tag, updatedAt: 0 }
}

/** `<milliseconds>.<tag>`: a tag may have dots. */
function afterTime(last: string | undefined) {
  if (last === undefined || last === '') return undefined
  const dot = last.indexOf('.')
  const [updatedAt = 0] = parseCursor(last.slice(0, Math.max(dot, 1)), 0)
  return { name: last.slice(dot + 1) as Tag, updatedAt }
}
