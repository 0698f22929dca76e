import type { Logger } from 'pino'
import { type Caller, SYSTEM, type Write } from '../access/access.ts'
import { omitAbsent } from '../http/controller.ts'
import { RegistryError, registryError, tooManyRequests } from '../oci/error.ts'
import { turn } from '../runtime/clock.ts'
import { JOB_KINDS, type JobKind, type StartableKind } from './kinds.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    jobs: Jobs
  }
}

/** How many finished jobs are remembered. */
const ENDED_MAX = 100

/** How many of them are of work that readers caused, so that it cannot push out what administrators started. */
const ENDED_FOR_READERS_MAX = 20

/** How many watchers there may be. Further ones are refused with TOOMANYREQUESTS. */
const WATCHERS_MAX = 100

/** `waiting` jobs start once the audit log has recorded them. The last three states are final. */
export type JobState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled'

/** One run of long work that was requested. */
export interface Job {
  id: string
  kind: JobKind
  state: JobState
  progress: Progress
  /** The account that started it. */
  startedBy: string
  /** Milliseconds since 1970. */
  startedAt: number
  endedAt: number | undefined
  /** The counts of a job that is done. */
  result: Readonly<Record<string, number>> | undefined
  /** Why it failed, in words for people. */
  error: string | undefined
}

export interface Progress {
  done: number
  /** How many there will be, if known. */
  total: number | undefined
}

/** The work of a job. Resolves to its counts. */
export type JobWork = (run: JobRun) => Promise<Record<string, number>>

export interface JobRun {
  /** Who started it. */
  caller: Caller
  /** Aborted when the job is cancelled or the server stops. The work should then end soon. */
  signal: AbortSignal
  progress: (done: number, total?: number) => void
  options: JobOptions
}

export interface JobOptions {
  /** Whether a scan may remove more than a tenth of the files. */
  removeMany?: boolean | undefined
}

/** Called with every change of a job. The last one has `endedAt`. */
export type JobWatcher = (job: Job) => void

export interface JobsOptions {
  log: Logger
  /** Milliseconds since 1970. */
  now: () => number
  /** The work of each kind that this server can do. */
  work: Partial<Record<StartableKind, JobWork | undefined>>
  /** Records an act in the audit log. */
  note: (act: Write & JobAct) => Promise<void>
}

/** What the audit log records of a job. */
export interface JobAct {
  action: 'job.start' | 'job.end' | 'job.cancel'
  /** The job's id. */
  target: string
  detail?: Record<string, string | number>
}

export interface JobCounts {
  running: number
  ended: { done: number; failed: number; cancelled: number }
}

const SEE_LOG = "the server's log has the cause"

type Asked = Pick<JobRun, 'caller' | 'options'>
type JobEnd = Partial<Job> & { state: 'done' | 'failed' | 'cancelled' }

interface Running {
  job: Job
  abort: AbortController
  watchers: Set<JobWatcher>
}

/** Runs long work with progress, one job of each kind at a time, and remembers finished jobs. */
export class Jobs {
  private readonly options: JobsOptions
  private readonly running = new Map<string, Running>()
  /** Newest first. */
  private ended: Job[] = []
  /** Each settles when a job has ended and its end is recorded. */
  private readonly unsettled = new Set<Promise<void>>()
  private readonly ends = Object.fromEntries(
    JOB_KINDS.map((kind) => [kind, { done: 0, failed: 0, cancelled: 0 }]),
  ) as Record<JobKind, JobCounts['ended']>
  private watching = 0

  constructor(options: JobsOptions) {
    this.options = options
  }

  /**
   * Starts a job once the audit log has recorded it.
   *
   * @throws RegistryError CONFLICT, naming the job of this kind that is still running; UNSUPPORTED for a kind without
   *   work; and whatever `note` throws
   */
  async start(kind: StartableKind, act: Write, options: JobOptions = {}): Promise<Job> {
    const { log, note, work } = this.options
    const own = work[kind]
    if (own === undefined)
      throw registryError('UNSUPPORTED', `this server cannot run jobs of the kind "${kind}"`)
    const other = this.running.values().find(({ job }) => job.kind === kind)?.job
    if (other) {
      throw registryError(
        'CONFLICT',
        `job ${other.id} of this kind is still running: wait for it or cancel it`,
        {
          detail: { job: other.id },
        },
      )
    }
    const running = this.make(kind, act.caller.account ?? 'anonymous')
    try {
      await note({ ...act, action: 'job.start', ...noteOf(running.job) })
    } catch (error) {
      this.end(running, { state: 'failed', error: 'the start of the job could not be recorded' })
      throw error
    }
    const settled = this.run(running, own, { caller: act.caller, options })
      .then((job) => note({ ...act, at: job.endedAt ?? act.at, action: 'job.end', ...noteOf(job) }))
      .catch((cause) => log.error({ job: kind, cause }, 'cannot record the end of a job in the audit log'))
      .finally(() => this.unsettled.delete(settled))
    this.unsettled.add(settled)
    return running.job
  }

  /**
   * Runs work that a reader's request needs as a job, so that it can be seen and cancelled. Several of a kind may run.
   * The audit log does not record it, because nothing that is stored changes. Throws what the work throws.
   */
  async runForReaders(
    kind: Exclude<JobKind, StartableKind>,
    account: string,
    work: (run: Pick<JobRun, 'signal' | 'progress'>) => Promise<void>,
  ): Promise<void> {
    let failure: unknown
    const keepFailure: JobWork = async (run) => {
      await work(run).catch((error) => {
        failure = error
        throw error
      })
      return {}
    }
    const running = this.make(kind, account)
    const ended = this.run(running, keepFailure, { caller: SYSTEM, options: {} })
    const settled = ended.then(() => void this.unsettled.delete(settled))
    this.unsettled.add(settled)
    await settled
    if (failure !== undefined) throw failure
  }

  /** Returns jobs, newest first: those still running, then the finished ones. */
  list(): Job[] {
    return [...[...this.running.values()].map(({ job }) => job).reverse(), ...this.ended]
  }

  /** Counts running and finished jobs since the process started, by kind and final state. */
  counts(): Record<JobKind, JobCounts> {
    const counts = {} as Record<JobKind, JobCounts>
    for (const kind of JOB_KINDS) {
      const running = this.running.values().filter(({ job }) => job.kind === kind)
      counts[kind] = { running: [...running].length, ended: { ...this.ends[kind] } }
    }
    return counts
  }

  /** Throws NOT_FOUND. */
  get(id: string): Job {
    const job = this.running.get(id)?.job ?? this.ended.find((one) => one.id === id)
    if (job !== undefined) return job
    throw registryError('NOT_FOUND', `job ${id} not found: it never existed, or it ended long ago`)
  }

  /** Cancels a job once the audit log has recorded that. Throws NOT_FOUND, or CONFLICT when it has ended. */
  async cancel(id: string, act: Write): Promise<void> {
    if (this.get(id).endedAt !== undefined) throw registryError('CONFLICT', `job ${id} has already ended`)
    await this.options.note({ ...act, action: 'job.cancel', target: id })
    this.running.get(id)?.abort.abort()
  }

  /**
   * Calls `watcher` with each change up to the end of the job. For a finished job it is called once, immediately.
   * Returns a function that stops watching; there are no calls after it.
   *
   * @throws RegistryError NOT_FOUND, or TOOMANYREQUESTS when there are too many watchers
   */
  watch(id: string, watcher: JobWatcher): () => void {
    watcher(this.get(id))
    const running = this.running.get(id)
    if (running === undefined) return () => {}
    if (this.watching >= WATCHERS_MAX) {
      throw tooManyRequests('too many clients are watching jobs: poll the job instead', 5)
    }
    this.watching++
    running.watchers.add(watcher)
    return () => {
      if (running.watchers.delete(watcher)) this.watching--
    }
  }

  /** Cancels all jobs. Resolves when they have ended. */
  async stop(): Promise<void> {
    for (const { abort } of this.running.values()) abort.abort()
    await Promise.all(this.unsettled)
  }

  private make(kind: JobKind, startedBy: string): Running {
    const job: Job = {
      id: Bun.randomUUIDv7(),
      kind,
      state: 'waiting',
      progress: { done: 0, total: undefined },
      startedBy,
      startedAt: this.options.now(),
      endedAt: undefined,
      result: undefined,
      error: undefined,
    }
    const abort = new AbortController()
    const running: Running = { job, abort, watchers: new Set() }
    this.running.set(job.id, running)
    return running
  }

  private async run(running: Running, work: JobWork, asked: Asked): Promise<Job> {
    const { id, kind } = running.job
    const { signal } = running.abort
    try {
      signal.throwIfAborted()
      this.change(running, { state: 'running' })
      const progress = (done: number, total?: number) => {
        this.change(running, { progress: { done, total } })
      }
      const result = await work({ signal, progress, ...asked })
      // A job that was cancelled too late counts as done.
      this.end(running, { state: 'done', result })
    } catch (cause) {
      if (signal.aborted) {
        this.end(running, { state: 'cancelled' })
      } else {
        // What a client asked for and cannot get is no failure of the server.
        const isAnswer = kind === 'index' && cause instanceof RegistryError
        if (!isAnswer) this.options.log.error({ job: kind, id, cause }, 'job failed')
        const error = (cause instanceof RegistryError && cause.entries[0]?.message) || SEE_LOG
        this.end(running, { state: 'failed', error })
      }
    }
    return running.job
  }

  private end(running: Running, end: JobEnd): void {
    this.ends[running.job.kind][end.state]++
    this.watching -= running.watchers.size
    const ended = { ...running.job, ...end, endedAt: this.options.now() }
    this.ended = withoutOld([ended, ...this.ended])
    this.running.delete(running.job.id)
    this.change(running, ended)
    running.watchers.clear()
  }

  /** Replaces the job object, so that those already returned to callers do not change. */
  private change(running: Running, change: Partial<Job>): void {
    running.job = { ...running.job, ...change }
    for (const watcher of running.watchers) watcher(running.job)
  }
}

/** Returns the jobs to remember, of a list that begins with the newest. */
function withoutOld(ended: Job[]): Job[] {
  let forReaders = 0
  const kept = ended.filter(({ kind }) => kind !== 'index' || ++forReaders <= ENDED_FOR_READERS_MAX)
  return kept.slice(0, ENDED_MAX)
}

function noteOf({ id, kind, state, result }: Job): Pick<JobAct, 'target' | 'detail'> {
  return { target: id, detail: { kind, state, ...result } }
}

/** Converts a job to a response of the API. */
export function toJob(job: Job) {
  return omitAbsent({ ...job, progress: omitAbsent(job.progress) })
}

/** Runs periodic work once it is started. A failure is logged, and the next run tries again. */
export class Schedule {
  private readonly log: Logger
  private readonly first: (() => void)[] = []
  private readonly timers: Timer[] = []

  constructor(log: Logger) {
    this.log = log
  }

  /** Runs `work` at the start and then every `seconds`. A run is skipped while the previous one is in progress. */
  every(seconds: number, name: string, work: () => Promise<unknown>): void {
    let busy = false
    const turn = async () => {
      if (busy) return
      busy = true
      await this.run(name, work)
      busy = false
    }
    this.first.push(() => {
      this.timers.push(setInterval(turn, seconds * 1000))
      void turn()
    })
  }

  /** Runs `work` at the start, and not again. */
  once(name: string, work: () => Promise<unknown>): void {
    this.first.push(() => void this.run(name, work))
  }

  /** Starts the work, one item in each turn of the event loop, so that a request waits for one at most. */
  async start(): Promise<void> {
    for (let next = this.first.shift(); next; next = this.first.shift()) {
      next()
      await turn()
    }
  }

  stop(): void {
    this.first.length = 0
    for (const timer of this.timers) clearInterval(timer)
  }

  private async run(name: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (cause) {
      this.log.error({ job: name, cause }, 'job failed')
    }
  }
}
