import { t } from 'elysia'
import { unknownRepository } from '../../../core/unknown.ts'
import type { Asker } from '../../../domain/asker.ts'
import type { RepositoryRow } from '../../../metadata/content/catalog.ts'
import type { RepositoryState } from '../../../metadata/content/repository-writes.ts'
import { registryError } from '../../../oci/error.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { cursorOf, parseCursor } from '../cursor.ts'
import { DONE, PageQuery, page, pageParameters, RepositoryParam } from '../schemas.ts'
import { toMove } from './moves.ts'
import {
  REPOSITORY_OPERATIONS as OPERATIONS,
  RepositorySettings,
  stateOfRepository,
  toListedRepository,
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
  const reads = readsOf(context)
  const acts = changesOf(context)
  return controller(context, 'repositories', '/repositories')
    .get(
      '',
      ({ asker, query }) => (query.deleted === 'true' ? reads.listDeleted : reads.list)(asker, query),
      {
        query: ListQuery,
        ...OPERATIONS.list,
      },
    )
    .get('/:repository', ({ asker, params: { repository } }) => reads.get(asker, repository), {
      params,
      ...OPERATIONS.get,
    })
    .put(
      '/:repository',
      async ({ asker, params: { repository }, body, request }) => {
        const call = { ...asker.act(), repository, ...body }
        await acts.change(request, repository, (expected) =>
          context.metadata.write('putRepository', { ...call, expected }),
        )
        return DONE
      },
      { params, body: RepositorySettings, ...OPERATIONS.put },
    )
    .patch(
      '/:repository',
      async ({ asker, params: { repository }, body, request }) => {
        const call = { ...asker.act(), repository, change: body }
        await acts.change(request, repository, (expected) =>
          context.metadata.write('changeRepository', { ...call, expected }),
        )
        return DONE
      },
      { params, body: RepositorySettings, ...OPERATIONS.change },
    )
    .delete(
      '/:repository',
      async ({ asker, params: { repository }, request }) => {
        const call = { ...asker.act(), repository }
        await acts.change(request, repository, (expected) =>
          context.metadata.write('deleteRepository', { ...call, expected }),
        )
        return DONE
      },
      { params, ...OPERATIONS.remove },
    )
    .post(
      '/:repository/restore',
      ({ asker, params: { repository }, body }) => acts.restore(asker, repository, body),
      { params, body: RestoreBody, ...OPERATIONS.restore },
    )
    .get(
      '/:repository/history',
      ({ asker, params: { repository }, query }) => reads.history(asker, repository, query),
      { params, query: PageQuery, ...OPERATIONS.history },
    )
}

type Query = typeof ListQuery.static

function readsOf({ metadata, content, now }: AdminContext) {
  const { windowMs } = content.retention
  const withTags = (rows: RepositoryRow[]) => {
    const counts = metadata.catalog.countTags(
      rows.map(({ id }) => id),
      now(),
    )
    return rows.map((row) => ({ ...row, tags: counts.get(row.id) ?? 0 }))
  }
  const toListed =
    ({ isAdmin }: Asker) =>
    (row: RepositoryRow & { tags: number }) => ({
      ...toListedRepository(row, windowMs, isAdmin),
      tags: row.tags,
    })
  return {
    list: (asker: Asker, query: Query) =>
      page(
        query,
        (limit) =>
          withTags(metadata.catalog.repositories(asker.pullable(), query.q ?? '', query.last ?? '', limit)),
        ({ name }) => name,
        toListed(asker),
      ),

    listDeleted(asker: Asker, query: Query) {
      const [deletedAt = 0, id = 0] = parseCursor(query.last, Number.MAX_SAFE_INTEGER, 0)
      const asked = { windowStart: now() - windowMs, after: { deletedAt, id } }
      return page(
        query,
        (limit) => withTags(metadata.catalog.deletedRepositories(asker.deletable(), asked, limit)),
        (row) => cursorOf(row.deletedAt ?? 0, row.id),
        toListed(asker),
      )
    },

    get(asker: Asker, repository: RepositoryName) {
      const row = metadata.catalog.findRepository(repository)
      if (row === undefined) throw unknownRepository(repository)
      const contents = metadata.catalog.contentsOf(row.id, now())
      return { ...toListedRepository(row, windowMs, asker.isAdmin), ...contents }
    },

    history(asker: Asker, repository: RepositoryName, query: typeof PageQuery.static) {
      const [before = 0] = parseCursor(query.last, Number.MAX_SAFE_INTEGER)
      return page(
        query,
        (limit) => {
          const lines = metadata.history.ofRepository(repository, before, limit)
          if (lines === undefined) throw unknownRepository(repository)
          return lines
        },
        ({ id }) => cursorOf(id),
        (line) => toMove(line, asker),
      )
    },
  }
}

function changesOf({ metadata, changes, content }: AdminContext) {
  const { windowMs } = content.retention
  return {
    /** The write is told of the state that a condition was checked against, so that no push comes between. */
    change<T>(
      request: Request,
      repository: RepositoryName,
      write: (expected: RepositoryState | null | undefined) => Promise<T>,
    ): Promise<T> {
      let expected: RepositoryState | null | undefined
      const read = () => {
        const row = metadata.catalog.findRepository(repository)
        expected = row ?? null
        return row && stateOfRepository(toListedRepository(row, windowMs, false))
      }
      return changes.make(request, `the repository ${repository}`, read, () => write(expected))
    },

    async restore(
      asker: Asker,
      repository: RepositoryName,
      { at, deletedAt }: { at?: string; deletedAt?: string },
    ) {
      const act = asker.act()
      const restore = { ...act, repository, windowStart: act.at - windowMs }
      if (at !== undefined && deletedAt !== undefined) {
        throw registryError('REQUEST_INVALID', 'body: either deletedAt, or at')
      }
      if (at === undefined) {
        const time = deletedAt === undefined ? undefined : Date.parse(deletedAt)
        await metadata.write('restoreRepository', { ...restore, deletedAt: time })
        return DONE
      }
      const to = Date.parse(at)
      const { restored, removed, lost } = await metadata.write('rewindRepository', { ...restore, to })
      return { ...DONE, restored, removed, lost }
    },
  }
}
