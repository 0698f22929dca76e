import { join } from 'node:path'
import type { Releasing } from '../idle-memory.ts'
import { openForReading, releaseMemory } from './database.ts'
import { type Reads, reads } from './reads.ts'
import type { Stale, StaleParts } from './stale.ts'
import { Writer } from './writer/writer.ts'

/**
 * The reads that return without a promise: those of pulls, of the HEAD requests of pushes, and of their
 * authentication. They take microseconds. A remote database would need a cache for them.
 */
const AT_ONCE = [
  'repositories',
  'cache',
  'manifests',
  'blobs',
  'blobBytes',
  'accounts',
  'credentials',
  'grants',
  'addresses',
  'quotas',
] as const
type AtOnce = (typeof AT_ONCE)[number]

type Asynchronous<T> = T extends (...args: infer A) => infer R
  ? (...args: A) => Promise<Awaited<R>>
  : { [N in keyof T]: Asynchronous<T[N]> }

/** The database of one data folder: reads by subject, and writes by name. */
export interface Metadata extends Pick<Reads, AtOnce>, Asynchronous<Omit<Reads, AtOnce>>, Releasing {
  write: Writer['call']
  /** Calls `listener` when a write has made cached data of this kind stale, before the write returns. */
  onStale<K extends Stale>(what: K, listener: (part: StaleParts[K]) => void): void
  close(): Promise<void>
}

/**
 * Opens, creates or migrates `<folder>/cay.db`.
 *
 * @param onFailure called when the writer's thread has crashed. Nothing can be written, so the process should end.
 */
export async function openMetadata(folder: string, onFailure: (error: Error) => void): Promise<Metadata> {
  const path = join(folder, 'cay.db')
  const listeners: [Stale, (part: never) => void][] = []
  const writer = await Writer.open(path, {
    onStale: (what, part) => {
      for (const [kind, listener] of listeners) if (kind === what) listener(part as never)
    },
    onFailure,
  })
  const db = openForReading(path)
  return {
    ...asynchronous(reads(db)),
    write: (name, args, moved) => writer.call(name, args, moved),
    onStale: <K extends Stale>(what: K, listener: (part: StaleParts[K]) => void) => {
      listeners.push([what, listener])
    },
    releaseMemory: () => releaseMemory(db),
    async close() {
      db.$client.close()
      await writer.close()
    },
  }
}

/** Makes reads asynchronous: each returns a promise, which rejects if the read throws. */
function asynchronous(all: Reads): Pick<Metadata, keyof Reads> {
  const isAtOnce = (name: string) => (AT_ONCE as readonly string[]).includes(name)
  const wrap = (read: unknown): unknown => {
    if (typeof read === 'function') return async (...args: unknown[]) => read(...args)
    return Object.fromEntries(Object.entries(read as object).map(([name, one]) => [name, wrap(one)]))
  }
  const wrapped = Object.entries(all).map(([name, read]) => [name, isAtOnce(name) ? read : wrap(read)])
  return Object.fromEntries(wrapped) as Pick<Metadata, keyof Reads>
}
