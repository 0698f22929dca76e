import { join } from 'node:path'
import { type ErrorEntry, RegistryError, tooManyRequests } from '../oci/error.ts'
import type { Releasing } from '../runtime/idle-memory.ts'
import { WorkerClient } from '../runtime/threads.ts'
import { type Db, openForReading, releaseMemory } from './database.ts'
import type { Parts, Stale, StaleParts } from './operation.ts'
import type { outboxReads } from './outbox.ts'

/** Every read, by its subject. A capability adds its own by `declare module`, next to the function that creates them. */
export interface Reads {
  outbox: ReturnType<typeof outboxReads>
}

/**
 * Every write, by name. A capability adds its own, as with `Reads`. The writer's thread runs many in one transaction. If
 * one fails, it runs all of them again, each in a savepoint, so a write must have no side effects outside the database. A
 * write that may take long is a generator. At each `yield`, its changes are committed, the cached data that it yields
 * becomes stale, and waiting calls run first. A write that returns `stale` has changed something that may be cached:
 * content or permissions.
 */
export interface Operations extends Record<never, never> {}
export type OperationName = keyof Operations

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
  write: Write
  /** Calls `listener` when a write has made cached data of this kind stale, before the write returns. */
  onStale<K extends Stale>(what: K, listener: (part: StaleParts[K]) => void): void
  close(): Promise<void>
}

interface MetadataParts {
  /** Creates the reads of a database. */
  reads: (db: Db) => Reads
  /** Starts the writer's thread, which runs `serveWrites`. */
  startWriter: () => Worker
  /** Called when the writer's thread has crashed. Nothing can be written, so the process should end. */
  onFailure: (error: Error) => void
}

/**
 * Opens, creates or migrates `<folder>/cay.db`.
 * @throws Error that says why the database cannot be opened
 */
export async function openDatabase(folder: string, parts: MetadataParts): Promise<Metadata> {
  const path = join(folder, 'cay.db')
  const listeners: [Stale, (part: never) => void][] = []
  const writer = new WorkerClient<WriterQuestion, Failure>(parts.startWriter(), {
    name: 'the writer',
    isBatching: true,
    toError: (failure) =>
      'message' in failure ? new Error(failure.message) : new RegistryError(failure.entries, failure),
    onFailure: parts.onFailure,
    onAnswers: (answers) =>
      tellStale(answers, (what, part) => {
        for (const [kind, listener] of listeners) if (kind === what) listener(part as never)
      }),
  })
  try {
    await writer.ask({ open: path })
  } catch (error) {
    await writer.stop()
    throw error
  }
  const db = openForReading(path)
  return {
    ...asynchronous(parts.reads(db)),
    write: writes(writer),
    onStale: <K extends Stale>(what: K, listener: (part: StaleParts[K]) => void) => {
      listeners.push([what, listener])
    },
    releaseMemory: () => releaseMemory(db),
    async close() {
      db.$client.close()
      // The writer commits the waiting calls first. A crashed thread has nothing to commit.
      await writer.ask({ close: true }).catch(() => {})
      await writer.stop()
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

/** How many calls may wait for the writer's thread. Further ones are refused with TOOMANYREQUESTS. */
const CALLS_WAITING_MAX = 10_000
/** The total bytes of manifests and small blobs in these calls. */
const BYTES_WAITING_MAX = 64 * 1024 * 1024

/** A message to the writer's thread: opens the database first, then calls, and closes it at the end. */
export type WriterQuestion = { open: string } | Call | { close: true }

export interface Call {
  name: OperationName
  args: unknown
}

/** A RegistryError as plain data, or why the database cannot be opened. */
export type Failure =
  | { message: string }
  | {
      entries: readonly ErrorEntry[]
      status: number
      headers: Readonly<Record<string, string>>
      cause: string
    }

/** The result of a write, whether it runs in one part or in several. */
type Outcome<Operation extends (call: never) => unknown> =
  ReturnType<Operation> extends Parts<infer Answer> ? Answer : ReturnType<Operation>

/**
 * Runs one write, which is committed when the promise resolves. If it rejects, nothing has changed, except for earlier
 * parts of a write in parts, which stay committed.
 *
 * @param moved memory in the arguments to transfer to the thread instead of copying it; it is empty afterwards
 */
type Write = <N extends OperationName>(
  name: N,
  args: Parameters<Operations[N]>[0],
  moved?: ArrayBuffer[],
) => Promise<Outcome<Operations[N]>>

/** Returns the serving thread's call of the writer's thread. It limits what waits. */
function writes(writer: WorkerClient<WriterQuestion, Failure>): Write {
  let bytesWaiting = 0
  const holding = async <T>(bytes: number, answer: Promise<T>): Promise<T> => {
    bytesWaiting += bytes
    try {
      return await answer
    } finally {
      bytesWaiting -= bytes
    }
  }
  return (name, args, moved) => {
    const bytes = (args as { bytes?: Uint8Array } | undefined)?.bytes?.byteLength ?? 0
    if (writer.waiting >= CALLS_WAITING_MAX || bytesWaiting + bytes > BYTES_WAITING_MAX)
      return Promise.reject(tooManyRequests('too many writes are waiting: try again in a second', 1))
    const answer = writer.ask<Outcome<Operations[typeof name]>>({ name, args }, moved)
    return bytes === 0 ? answer : holding(bytes, answer)
  }
}

/** Reports what a message's writes made stale, in their order. All cached content is dropped together, so only once. */
function tellStale(
  answers: readonly { value?: unknown }[],
  onStale: (what: Stale, part: StaleParts[Stale]) => void,
): void {
  const changes = answers.map(({ value }) => value as (StaleParts[Stale] & { stale?: Stale }) | undefined)
  const content = changes.findIndex((change) => change?.stale === 'content')
  for (const [at, change] of changes.entries()) {
    if (change?.stale === undefined || (change.stale === 'content' && at !== content)) continue
    onStale(change.stale, change)
  }
}
