import type { Changes } from '../../../core/content/changes.ts'
import type { EventRow } from '../../../core/content/history.ts'
import type { Principal } from '../../../domain/access/principal.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import { eventStream, eventText, type Sent } from './event-stream.ts'
import { toJob } from './jobs.ts'

export interface Watched {
  /** The client whose limit the stream counts against. */
  client: string
  /** The id of the last event that the client received. */
  after: number | undefined
  now: () => number
  /** Returns the caller with their current rights. Throws UNAUTHORIZED. */
  findPrincipal: () => Promise<Principal>
}

/**
 * Streams the changes that a caller may see, and for server admins the jobs. The stream ends when the caller may no
 * longer watch.
 *
 * @param toData returns what the caller may see of an event
 * @throws RegistryError TOOMANYREQUESTS if there are too many watchers
 */
export function changeEvents(
  changes: Changes,
  { client, after, now, findPrincipal }: Watched,
  toData: (row: EventRow, principal: Principal) => object,
  heartbeatSeconds?: number,
): ReadableStream<Uint8Array<ArrayBuffer>> {
  return eventStream((wake) => {
    const watch = changes.watch(client, wake, after)
    let text = ''
    let isReady = false
    const ready = async () => {
      const newest = await watch.start()
      const data = newest && { id: String(newest.id), millisecondsAgo: Math.max(now() - newest.at, 0) }
      text = eventText('ready', data ?? {})
      isReady = true
    }
    return {
      async take(): Promise<Sent | undefined> {
        if (watch.isOver()) return { text: '', isEnd: true }
        const principal = await permitted(findPrincipal)
        if (principal === undefined) return { text: '', isEnd: true }
        if (!isReady) await ready()
        const rows = await watch.take()
        text += rows
          .filter(({ repository }) => principal.may('pull', repository as RepositoryName))
          .map((row) => eventText('change', toData(row, principal), row.id))
          .join('')
        const jobs = principal.isAdmin ? watch.takeJobs() : undefined
        if (jobs !== undefined) text += eventText('jobs', { items: jobs.map(toJob) })
        // There may be more, because each read returns only a part.
        if (rows.length > 0) wake()
        const sent = text
        text = ''
        return sent === '' ? undefined : { text: sent, isEnd: false }
      },
      stop: watch.stop,
    }
  }, heartbeatSeconds)
}

/** Returns the caller, undefined if they may no longer see anything. */
async function permitted(findPrincipal: () => Promise<Principal>): Promise<Principal | undefined> {
  try {
    const principal = await findPrincipal()
    principal.catalog()
    return principal
  } catch {
    return undefined
  }
}
