import { releaseWhenIdle } from '../idle-memory.ts'
import { diskFull, RegistryError, registryError } from '../oci/error.ts'
import { type Answer, type Asked, NO_CALL } from '../worker-client.ts'
import { causeOf, type Db, openForWriting, releaseMemory } from './database.ts'
import { migrate } from './migrate.ts'
import { type Operations, operations, VOLATILE } from './operations.ts'
import type { Parts } from './stale.ts'
import { type Versions, versions } from './versions.ts'
import type { Call, Failure, WriterQuestion } from './writer.ts'

declare const self: Worker

/** At most this many calls share one commit, so that none waits long for its own. */
const CALLS_PER_COMMIT_MAX = 256

/** Pages of the write-ahead log (4 KiB each) before they are moved into the database, */
const LOG_PAGES_MAX = 4000
/** and commits between two looks at its length. */
const COMMITS_PER_LOOK = 16

type Reply = Answer<Failure>
type AnyOperation = (args: unknown) => unknown

/** What is left of a call that is done in parts. */
type Rest = Parts<unknown>
type Pending = Asked<Call> & { rest?: Rest }

/**
 * The writer's thread: the only one that writes to the database. Calls that wait are grouped into one commit, so that
 * its sync is shared and never blocks the serving thread.
 */
class WriterThread {
  private readonly db: Db
  private readonly operations: Operations
  private readonly versions: Versions
  private queue: Pending[] = []
  /** Calls in parts that have begun. */
  private rests: Pending[] = []
  private wasRest = false
  private scheduled = false
  private durable = true

  private commits = 0
  private dead = false

  constructor(path: string) {
    this.db = openForWriting(path)
    try {
      migrate(this.db, path)
      this.versions = versions(this.db)
      this.operations = operations(this.db, this.versions.ofCall)
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

  /** Commits what waits, moves the log into the database, and closes it. */
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
   * Runs calls in one transaction. Most succeed, and a savepoint costs more than many of them, so several calls are first
   * run without: returns undefined if one fails, and has then changed nothing.
   *
   * @param isApart gives each call a savepoint, so that one that fails undoes only what it did itself
   */
  private commit(calls: Pending[], isApart: boolean): Reply[] | undefined {
    const unfinished: Pending[] = []
    try {
      this.syncEachCommit(calls.some((call) => !VOLATILE.has(call.name)))
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
      if (!isApart && calls.length > 1) return undefined
      return calls.map((call) => ({ id: call.id, failure: toFailure(error) }))
    }
  }

  /** Moves a long log into the database. A full disk only makes the log longer. */
  private checkpoint(): void {
    try {
      const { log, checkpointed } = this.measureLog('NOOP')
      if (log >= LOG_PAGES_MAX && checkpointed < log) this.measureLog('PASSIVE')
    } catch (error) {
      if (isDiskFailure(error)) this.die(error)
    }
  }

  /** Pages in the log, and those of them that are in the database; with `PASSIVE`, after a checkpoint. */
  private measureLog(mode: 'NOOP' | 'PASSIVE'): { log: number; checkpointed: number } {
    return this.db.$client.query(`PRAGMA wal_checkpoint(${mode})`).get() as {
      log: number
      checkpointed: number
    }
  }

  /**
   * Ends the thread, and with it the process. After a sync that failed the kernel may have dropped what was written,
   * although it can still be read, so whatever is committed later could be lost with the power. The next start moves
   * the whole log into the database.
   */
  private die(error: unknown): never {
    this.dead = true
    throw new Error(
      `the disk of the database failed: ${causeOf(error)}; what was not acknowledged may be lost: ` +
        'check the disk (dmesg), then start cay again',
    )
  }

  /** Runs a call, or its next part. An unfinished call only reports what its part has made stale. */
  private answer(call: Pending, unfinished: Pending[]): Reply {
    this.versions.begin()
    const begun = call.rest ?? (this.operations[call.name] as AnyOperation)(call.args)
    if (!isGenerator(begun)) return { id: call.id, value: begun }
    const { done, value } = begun.next()
    if (done) return { id: call.id, value }
    unfinished.push({ ...call, rest: begun })
    return { id: NO_CALL, value }
  }

  /** Does the same in a savepoint; what fails is undone and reported. */
  private answerApart(call: Pending, unfinished: Pending[]): Reply {
    // What is reserved here must outlast a call that fails.
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

  /** A statement without a result; each is compiled once. */
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

/** Whether reading, writing or syncing failed, other than for lack of space. */
function isDiskFailure(error: unknown): boolean {
  return ((error as { code?: string }).code ?? '').startsWith('SQLITE_IOERR')
}

function fromSqlite(cause: unknown): RegistryError {
  const code = (cause as { code?: string }).code ?? ''
  if (code === 'SQLITE_FULL') return diskFull(cause)
  return registryError('INTERNAL', undefined, { cause })
}

/** The first question opens the database; the rest are calls, and at last `close`. */
function serve(): (question: Asked<WriterQuestion>) => void {
  let thread: WriterThread | undefined
  return (question) => {
    const { id } = question
    try {
      if ('name' in question) return thread?.push(question)
      if ('open' in question) {
        thread = new WriterThread(question.open)
        releaseWhenIdle(thread)
      } else thread?.close()
      answer([{ id }])
    } catch (error) {
      answer([{ id, failure: { message: (error as Error).message } }])
    }
  }
}

function answer(answers: Reply[]): void {
  self.postMessage(answers)
}

const take = serve()
self.onmessage = ({ data }: MessageEvent<Asked<WriterQuestion>[]>) => data.forEach(take)
