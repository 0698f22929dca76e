import { diskFull, RegistryError, registryError } from '../oci/error.ts'
import { releaseWhenIdle } from '../runtime/idle-memory.ts'
import { type Answer, type Asked, NO_CALL } from '../runtime/threads.ts'
import { causeOf, type Db, openForWriting, releaseMemory } from './database.ts'
import type { Call, Failure, OperationName, Operations, WriterQuestion } from './metadata.ts'
import { migrate } from './migrate.ts'
import { type Parts, type VersionOfCall, type Versions, versions } from './operation.ts'

declare const self: Worker

/** The maximum number of calls that share one commit, so that none waits long. */
const CALLS_PER_COMMIT_MAX = 256

/** How many pages (4 KiB each) the write-ahead log may have before a checkpoint. */
const LOG_PAGES_MAX = 4000
/** How many commits there are between two checks of its length. */
const COMMITS_PER_LOOK = 16

type Reply = Answer<Failure>
type AnyOperation = (args: unknown) => unknown

/** The rest of a call that runs in parts. */
type Rest = Parts<unknown>
type Pending = Asked<Call> & { rest?: Rest }

/**
 * The writer's thread, the only one that writes to the database. Waiting calls share one commit and its sync, which
 * never blocks the serving thread.
 */
class WriterThread {
  private readonly db: Db
  private readonly operations: Operations
  private readonly volatile: ReadonlySet<OperationName>
  private readonly versions: Versions
  private queue: Pending[] = []
  /** Calls in parts that have begun. */
  private rests: Pending[] = []
  private wasRest = false
  private scheduled = false
  private durable = true

  private commits = 0
  private dead = false

  constructor(path: string, writes: Writes) {
    this.volatile = writes.volatile
    this.db = openForWriting(path)
    try {
      migrate(this.db, path)
      this.versions = versions(this.db)
      this.operations = writes.operations(this.db, this.versions.ofCall)
    } catch (error) {
      this.db.$client.close()
      throw error
    }
  }

  push(call: Asked<Call>): void {
    this.queue.push(call)
    this.schedule()
  }

  releaseMemory(): void {
    if (!this.dead && !this.isWaiting) releaseMemory(this.db)
  }

  /** Commits the waiting calls, checkpoints the log, and closes the database. */
  close(): void {
    while (this.isWaiting) this.flush()
    this.db.$client.run('PRAGMA wal_checkpoint(TRUNCATE)')
    this.db.$client.close()
    this.dead = true
  }

  private get isWaiting(): boolean {
    return this.queue.length > 0 || this.rests.length > 0
  }

  private schedule(): void {
    if (this.scheduled) return
    this.scheduled = true
    setImmediate(() => {
      this.scheduled = false
      this.flush()
      if (this.isWaiting) this.schedule()
    })
  }

  /** Calls and parts take turns, so that a call waits for one part at most. */
  private take(): Pending[] {
    this.wasRest = this.rests.length > 0 && (this.queue.length === 0 || !this.wasRest)
    return this.wasRest ? this.rests.splice(0, 1) : this.queue.splice(0, CALLS_PER_COMMIT_MAX)
  }

  private flush(): void {
    const calls = this.take()
    if (calls.length === 0 || this.dead) return
    answer(this.commit(calls, false) ?? this.commit(calls, true) ?? [])
    if (++this.commits % COMMITS_PER_LOOK === 0) this.checkpoint()
  }

  /**
   * Runs calls in one transaction. Most succeed, and a savepoint costs more than many of them, so calls first run
   * without savepoints. If one fails then, nothing is changed and undefined is returned.
   *
   * @param isApart whether to give each call a savepoint, so that a failure undoes only that call
   */
  private commit(calls: Pending[], isApart: boolean): Reply[] | undefined {
    const unfinished: Pending[] = []
    try {
      this.syncEachCommit(calls.some((call) => !this.volatile.has(call.name)))
      this.run('BEGIN IMMEDIATE')
      const replies = calls.map((call) =>
        isApart ? this.answerApart(call, unfinished) : this.answer(call, unfinished),
      )
      this.run('COMMIT')
      this.rests.push(...unfinished)
      return replies
    } catch (error) {
      if (isDiskFailure(error)) this.die(error)
      if (this.db.$client.inTransaction) this.run('ROLLBACK')
      this.versions.reset()
      // Their parts were rolled back. This runs their `finally` blocks.
      for (const { rest } of unfinished) rest?.return(undefined)
      if (!isApart && calls.length > 1) return undefined
      return calls.map((call) => ({ id: call.id, failure: toFailure(error) }))
    }
  }

  /** Checkpoints a long log. If the disk is full, the log only grows. */
  private checkpoint(): void {
    try {
      const { log, checkpointed } = this.measureLog('NOOP')
      if (log >= LOG_PAGES_MAX && checkpointed < log) this.measureLog('PASSIVE')
    } catch (error) {
      if (isDiskFailure(error)) this.die(error)
    }
  }

  /**
   * Returns the number of pages in the log, and how many of them are in the database. `PASSIVE` runs a checkpoint
   * first.
   */
  private measureLog(mode: 'NOOP' | 'PASSIVE'): { log: number; checkpointed: number } {
    return this.db.$client.query(`PRAGMA wal_checkpoint(${mode})`).get() as {
      log: number
      checkpointed: number
    }
  }

  /**
   * Ends the thread, and with it the process. After a failed sync, the kernel may have dropped the written pages
   * although they can still be read, so a power failure could lose later commits. The next start checkpoints the
   * whole log.
   */
  private die(error: unknown): never {
    this.dead = true
    throw new Error(
      `the disk of the database failed: ${causeOf(error)}; what was not acknowledged may be lost: ` +
        'check the disk (dmesg), then start cay again',
    )
  }

  /** Runs a call, or its next part. Of an unfinished call, it returns only what the part made stale. */
  private answer(call: Pending, unfinished: Pending[]): Reply {
    this.versions.begin()
    const begun = call.rest ?? (this.operations[call.name] as AnyOperation)(call.args)
    if (!isGenerator(begun)) return { id: call.id, value: begun }
    const { done, value } = begun.next()
    if (done) return { id: call.id, value }
    unfinished.push({ ...call, rest: begun })
    return { id: NO_CALL, value }
  }

  /** Does the same in a savepoint. A failure is rolled back and returned. */
  private answerApart(call: Pending, unfinished: Pending[]): Reply {
    // Reserved versions must outlast a failed call.
    this.versions.begin()
    this.run('SAVEPOINT call')
    try {
      const reply = this.answer(call, unfinished)
      this.run('RELEASE call')
      return reply
    } catch (error) {
      if (!this.db.$client.inTransaction) throw error
      this.run('ROLLBACK TO call')
      this.run('RELEASE call')
      return { id: call.id, failure: toFailure(error) }
    }
  }

  /** Runs a statement without a result. Each one is compiled once. */
  private run(statement: string): void {
    this.db.$client.query(statement).run()
  }

  private syncEachCommit(durable: boolean): void {
    if (durable === this.durable) return
    this.db.$client.run(`PRAGMA synchronous=${durable ? 'FULL' : 'NORMAL'}`)
    this.durable = durable
  }
}

function isGenerator(value: unknown): value is Rest {
  return typeof (value as Rest | undefined)?.next === 'function'
}

function toFailure(error: unknown): Failure {
  const known = error instanceof RegistryError ? error : fromSqlite(error)
  return {
    entries: known.entries,
    status: known.status,
    headers: known.headers,
    cause: String(known.cause ?? ''),
  }
}

/** Reports whether reading, writing or syncing failed for another reason than lack of space. */
function isDiskFailure(error: unknown): boolean {
  return ((error as { code?: string }).code ?? '').startsWith('SQLITE_IOERR')
}

function fromSqlite(cause: unknown): RegistryError {
  const code = (cause as { code?: string }).code ?? ''
  if (code === 'SQLITE_FULL') return diskFull(cause)
  return registryError('INTERNAL', undefined, { cause })
}

/** What a writer's thread can run. */
export interface Writes {
  /** Creates every write of a database. */
  operations: (db: Db, version: VersionOfCall) => Operations
  /** Writes that are committed without a sync. */
  volatile: ReadonlySet<OperationName>
}

/** Runs the writer in this thread. The first message opens the database. Calls follow, and `close` comes last. */
export function serveWrites(writes: Writes): void {
  let thread: WriterThread | undefined
  const take = (question: Asked<WriterQuestion>) => {
    const { id } = question
    try {
      if ('name' in question) return thread?.push(question)
      if ('open' in question) {
        thread = new WriterThread(question.open, writes)
        releaseWhenIdle(thread)
      } else thread?.close()
      answer([{ id }])
    } catch (error) {
      answer([{ id, failure: { message: (error as Error).message } }])
    }
  }
  self.onmessage = ({ data }: MessageEvent<Asked<WriterQuestion>[]>) => data.forEach(take)
}

function answer(answers: Reply[]): void {
  self.postMessage(answers)
}
