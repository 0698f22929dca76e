import { DAY_MS, dayOf } from '../../domain/day.ts'
import type { PullKey } from '../../metadata/content/pulls.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../page.ts'
import { unknownRepository } from '../unknown.ts'

/** How many days pull counts are kept. */
const PULL_DAYS = 90

/** How often an account pulled a tag on a day. */
export interface DailyPulls {
  /** `2026-01-31`, in UTC. */
  day: string
  /** Undefined for pulls by digest. */
  tag: Tag | undefined
  /** Undefined for anonymous. */
  account: string | undefined
  pulls: number
}

const NEWEST: PullKey = { day: Number.MAX_SAFE_INTEGER, id: 0 }

/**
 * Who pulled what.
 *
 * @param usage counts pulls in memory until they are flushed
 */
export function pullService(
  { pulls, write }: Pick<Metadata, 'pulls' | 'write'>,
  now: () => number,
  usage: { flush(): Promise<void> },
) {
  const oldestDay = () => dayOf(now()) - PULL_DAYS
  return {
    /** Lists the pulls of one tag, or of a whole repository, newest day first. Throws NAME_UNKNOWN. */
    async list(
      repository: RepositoryName,
      tag: Tag | undefined,
      query: PageQuery,
    ): Promise<ListPage<DailyPulls>> {
      const [day = 0, id = 0] = parseCursor(query.cursor, NEWEST.day, NEWEST.id)
      if (query.cursor === undefined) await usage.flush()
      const read = async (limit: number) => {
        const rows = await pulls.list(repository, tag, { day, id }, limit)
        if (rows === undefined) throw unknownRepository(repository)
        return rows
      }
      const page = await readPage(query, read, (row) => formatCursor(row.day, row.id))
      return { ...page, items: page.items.map(({ id, day, ...row }) => ({ ...row, day: formatDay(day) })) }
    },

    /** Deletes pulls that are older than 90 days. */
    async removeOld(): Promise<void> {
      while ((await write('removePulls', { before: oldestDay() })).more);
    },
  }
}

function formatDay(day: number): string {
  return new Date(day * DAY_MS).toISOString().slice(0, 10)
}
