import type { Principal } from '../../domain/access/principal.ts'
import type { EventType } from '../../domain/events.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { EventRow } from '../../metadata/outbox.ts'
import type { HistoryLine } from '../../metadata/time-machine/history.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../page.ts'
import { unknownRepository } from '../unknown.ts'

export interface EventQuery extends PageQuery {
  repository?: RepositoryName | undefined
  type?: EventType | undefined
}

export type { EventRow, HistoryLine }

/** What happened to content, newest first. */
export function historyService(metadata: Metadata) {
  const idOf = ({ id }: { id: number }) => formatCursor(id)
  const before = ({ cursor }: PageQuery) => parseCursor(cursor, Number.MAX_SAFE_INTEGER)[0] ?? 0
  return {
    /** Lists the moves of one tag, or of all tags in a repository. Throws NAME_UNKNOWN. */
    moves(
      repository: RepositoryName,
      tag: Tag | undefined,
      query: PageQuery,
    ): Promise<ListPage<HistoryLine>> {
      const { history } = metadata
      const read = async (limit: number) => {
        const lines =
          tag === undefined
            ? await history.ofRepository(repository, before(query), limit)
            : await history.ofTag(repository, tag, before(query), limit)
        if (lines === undefined) throw unknownRepository(repository)
        return lines
      }
      return readPage(query, read, idOf)
    },

    /** Lists events of one repository that the caller may pull from. Server admins may list those of all. */
    async events(principal: Principal, query: EventQuery): Promise<ListPage<EventRow>> {
      const { repository, type } = query
      if (repository !== undefined) principal.pull(repository)
      else if (!principal.isAdmin) {
        throw registryError('REQUEST_INVALID', 'repository: name a repository that you may pull from')
      }
      return await readPage(
        query,
        (limit) => metadata.outbox.list({ repository, type }, before(query), limit),
        idOf,
      )
    },
  }
}
