import type { Principal } from '../access/access.ts'
import type { Metadata } from '../database/metadata.ts'
import { EVENT_TYPES, type EventRow, type EventType } from '../database/outbox.ts'
import { omitAbsent } from '../http/controller.ts'
import { formatCursor, type ListPage, type PageQuery, parseCursor, readPage } from '../http/list-page.ts'
import { toWho } from '../http/schemas.ts'
import type { Job } from '../jobs/jobs.ts'
import { registryError, tooManyRequests } from '../oci/error.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { unknownRepository } from '../registry/registry.ts'
import { oneAtATime, turn } from '../runtime/clock.ts'
import type { HistoryLine } from './store.ts'

/*
 * What happened to content: the moves of tags, which can be undone within the undo window, and the events, which clients
 * can watch. The writes of content record both in their own transactions, in the tables of tag moves and of events.
 */

declare module '../http/controller.ts' {
  interface ApiServices {
    history: ReturnType<typeof historyService>
    changes: Changes
  }
}

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
    async events(
      principal: Principal,
      query: PageQuery & { repository?: RepositoryName | undefined; type?: EventType | undefined },
    ): Promise<ListPage<EventRow>> {
      const { repository, type } = query
      if (repository !== undefined) principal.pull(repository)
      else if (!principal.isAdmin) {
        throw registryError('REQUEST_INVALID', 'repository: name a repository that you may pull from')
      }
      const read = (limit: number) => metadata.outbox.list({ repository, type }, before(query), limit)
      return await readPage(query, read, idOf)
    },
  }
}

/** The maximum number of watchers, in total and per client. Further ones are refused with TOOMANYREQUESTS. */
const WATCHERS_MAX = 200
const WATCHERS_OF_CLIENT_MAX = 20

/** How often the outbox is polled while there are watchers. */
const LOOK_MILLISECONDS = 250

/** How many changes a watcher reads at once, and how many jobs an event lists. */
const CHANGES_MAX = 100
const JOBS_MAX = 10

/** The newest change: its id, and its time in milliseconds since 1970. */
interface Newest {
  id: number
  at: number
}

interface ChangeSources {
  outbox: {
    newest(): Promise<Newest | undefined>
    after(id: number, limit: number): Promise<EventRow[]>
  }
  /** All jobs, newest first. */
  jobs: () => readonly Job[]
}

/** Notifies watchers of changes to content and to jobs. Does no work without watchers. */
export class Changes {
  private readonly sources: ChangeSources
  private readonly watchers = new Set<{ client: string; wake: () => void }>()
  private timer: Timer | undefined
  private newestId = 0
  private jobsText = ''
  private readonly inTurn = oneAtATime()
  private isStopped = false

  constructor(sources: ChangeSources) {
    this.sources = sources
  }

  /**
   * Watches the changes after an id; by default, those from now on. A watch holds no change, so a slow client costs no
   * memory.
   *
   * @param client the client whose limit the watch counts against
   * @param wake called when there may be something to read
   * @throws RegistryError TOOMANYREQUESTS if there are too many watchers
   */
  watch(client: string, wake: () => void, after?: number) {
    const own = this.watchers.values().filter((watcher) => watcher.client === client)
    if (this.watchers.size >= WATCHERS_MAX || [...own].length >= WATCHERS_OF_CLIENT_MAX) {
      throw tooManyRequests('too many clients are watching changes: list the events instead', 10)
    }
    const watcher = { client, wake }
    this.watchers.add(watcher)
    if (this.timer === undefined) this.wait()
    let id = after
    let jobsSeen: string | undefined
    return {
      /** Begins the watch. Call it before the first read. Returns the newest change. */
      start: async (): Promise<Newest | undefined> => {
        const newest = await this.look()
        id = Math.min(id ?? Number.MAX_SAFE_INTEGER, this.newestId)
        return newest
      },
      /** Returns the next changes, oldest first. */
      take: async (): Promise<EventRow[]> => {
        if (id === undefined || id >= this.newestId) return []
        // One watcher reads in each turn of the event loop, so that those far behind do not delay other requests.
        await this.inTurn(turn)
        const rows = await this.sources.outbox.after(id, CHANGES_MAX)
        id = rows.at(-1)?.id ?? id
        return rows
      },
      /** Returns the newest jobs if they have changed since the last call. The first call always returns them. */
      takeJobs: (): readonly Job[] | undefined => {
        if (jobsSeen === this.jobsText) return undefined
        jobsSeen = this.jobsText
        return this.sources.jobs().slice(0, JOBS_MAX)
      },
      /** Whether the server is about to stop. */
      isOver: () => this.isStopped,
      stop: () => {
        this.watchers.delete(watcher)
        if (this.watchers.size === 0) this.rest()
      },
    }
  }

  /** Ends all watches, which would hold their connections open. */
  stop(): void {
    this.isStopped = true
    this.rest()
    this.wakeAll()
  }

  /** Wakes the watchers if something has changed. */
  private async look(): Promise<Newest | undefined> {
    const newest = await this.sources.outbox.newest()
    const newestId = newest?.id ?? 0
    const jobs = this.sources.jobs().slice(0, JOBS_MAX)
    const text = jobs
      .map(({ id, state, progress }) => `${id} ${state} ${progress.done} ${progress.total}`)
      .join()
    const hasChanged = newestId !== this.newestId || text !== this.jobsText
    this.newestId = newestId
    this.jobsText = text
    if (hasChanged) this.wakeAll()
    return newest
  }

  private wait(): void {
    if (this.isStopped) return
    const look = () =>
      this.look()
        // The next poll retries a failed read.
        .catch(() => {})
        .finally(() => this.timer !== undefined && this.wait())
    this.timer = setTimeout(look, LOOK_MILLISECONDS).unref()
  }

  private wakeAll(): void {
    for (const { wake } of this.watchers) wake()
  }

  private rest(): void {
    clearTimeout(this.timer)
    this.timer = undefined
  }
}

/** Converts a tag move, with only the fields that the principal may see. */
export function toMove(line: HistoryLine, principal: Principal) {
  const { at, tag, digest, previous: previousDigest, reason, isPreviousHere } = line
  const type = EVENT_TYPES.find((known) => known === line.act)
  const restorable = previousDigest !== undefined && isPreviousHere
  return omitAbsent({ type, at, tag, digest, previousDigest, reason, restorable, ...toWho(line, principal) })
}
