import type { Logger } from 'pino'
import type { Write } from '../../domain/caller.ts'
import { RegistryError, registryError } from '../../oci/error.ts'

/** Jobs that have ended and are remembered. */
const ENDED_MAX = 100

/** Those who watch jobs at once; further ones are refused with TOOMANYREQUESTS. */
const WATCHERS_MAX = 100

/** What a job does: `collect` takes what nothing reaches; `scan` looks for files that no row names. */
export const JOB_KINDS = ['collect', 'scan'] as const
export type JobKind = (typeof JOB_KINDS)[number]

/** `waiting`: accepted, and begun as soon as the trail knows of it. The last three are the ends. */
export type JobState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled'

/** One run of long work that somebody asked for. */
export interface Job {
  id: string
  kind: JobKind
  state: JobState
  progress: Progress
  /** The account that asked for it. */
  startedBy: string
  /** Milliseconds since 1970. */
  startedAt: number
  endedAt: number | undefined
  /** What a job that is done has counted. */
  result: Readonly<Record<string, number>> | undefined
  /** Why it failed, for people. */
  error: string | undefined
}

export interface Progress {
  done: number
  /** How many there will be, where that is known. */
  total: number | undefined
}

/** What the work of a job is given, and answers. */
export type JobWork = (run: JobRun) => Promise<Record<string, number>>

export interface JobRun {
  /** Aborted when somebody cancels the job, or the server ends: the work then ends soon, as it likes. */
  signal: AbortSignal
  progress: (done: number, total?: number) => void
  options: JobOptions
}

export interface JobOptions {
  /** Whether a scan may remove more than a tenth of the files. */
  removeMany?: boolean | undefined
}

/** Told of every change of a job; the last one has `endedAt`. */
export type JobWatcher = (job: Job) => void

export interface JobsOptions {
  log: Logger
  /** Milliseconds since 1970. */
  now: () => number
  /** The work of each kind that this server can do. */
  work: Partial<Record<JobKind, JobWork>>
  /** Notes an act in the audit trail. */
  note: (act: Write & JobAct) => Promise<void>
}

/** What the trail is told of a job. */
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

type JobEnd = Partial<Job> & { state: 'done' | 'failed' | 'cancelled' }

interface Running {
  job: Job
  abort: AbortController
  watchers: Set<JobWatcher>
}

/** Long work that is asked for by name: one of a kind at a time, with progress, and a history of those that ended. */
export class Jobs {
  private readonly options: JobsOptions
  private readonly running = new Map<string, Running>()
  /** Newest first. */
  private ended: Job[] = []
  /** Settled when a job has ended, and that was noted. */
  private readonly unsettled = new Set<Promise<void>>()
  private readonly ends = Object.fromEntries(
    JOB_KINDS.map((kind) => [kind, { done: 0, failed: 0, cancelled: 0 }]),
  ) as Record<JobKind, JobCounts['ended']>
  private watching = 0

  constructor(options: JobsOptions) {
    this.options = options
  }

  /**
   * Begins a job, once the audit trail knows of it.
   *
   * @throws RegistryError CONFLICT, which names the job of this kind that has not ended; UNSUPPORTED for a kind without
   *   work; what `note` throws
   */
  async start(kind: JobKind, act: Write, options: JobOptions = {}): Promise<Job> {
    const { log, note, work } = this.options
    const own = work[kind]
    if (own === undefined)
      throw registryError('UNSUPPORTED', `this server cannot run jobs of the kind "${kind}"`)
    const other = this.running.values().find(({ job }) => job.kind === kind)?.job
    if (other) {
      throw registryError('CONFLICT', `job ${other.id} of this kind is still running: wait, or cancel it`, {
        detail: { job: other.id },
      })
    }
    const running = this.make(kind, act.caller.account ?? 'anonymous')
    try {
      await note({ ...act, action: 'job.start', ...noteOf(running.job) })
    } catch (error) {
      this.end(running, { state: 'failed', error: 'the start of the job could not be recorded' })
      throw error
    }
    const settled = this.run(running, own, options)
      .then((job) => note({ ...act, at: job.endedAt ?? act.at, action: 'job.end', ...noteOf(job) }))
      .catch((cause) => log.error({ job: kind, cause }, 'the end of a job was not noted'))
      .finally(() => this.unsettled.delete(settled))
    this.unsettled.add(settled)
    return running.job
  }

  /** Newest first: those that have not ended, then the history. */
  list(): Job[] {
    return [...[...this.running.values()].map(({ job }) => job).reverse(), ...this.ended]
  }

  /** How many run and have ended, by kind and by the end, since the process began. */
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

  /** Asks a job to end, once the audit trail knows of it. Throws NOT_FOUND, or CONFLICT when it has ended. */
  async cancel(id: string, act: Write): Promise<void> {
    if (this.get(id).endedAt !== undefined) throw registryError('CONFLICT', `the job ${id} has ended`)
    await this.options.note({ ...act, action: 'job.cancel', target: id })
    this.running.get(id)?.abort.abort()
  }

  /**
   * Tells `watcher` of each change, and of the end. Answers how to stop that; nothing is told after.
   * A job that has ended is told of once, at once.
   *
   * @throws RegistryError NOT_FOUND, or TOOMANYREQUESTS when too many watch jobs
   */
  watch(id: string, watcher: JobWatcher): () => void {
    watcher(this.get(id))
    const running = this.running.get(id)
    if (running === undefined) return () => {}
    if (this.watching >= WATCHERS_MAX) {
      throw registryError('TOOMANYREQUESTS', 'too many watch jobs: ask for the job itself now and then', {
        headers: { 'retry-after': '5' },
      })
    }
    this.watching++
    running.watchers.add(watcher)
    return () => {
      if (running.watchers.delete(watcher)) this.watching--
    }
  }

  /** Cancels what runs; resolves when all has ended. */
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

  private async run(running: Running, work: JobWork, options: JobOptions): Promise<Job> {
    const { id, kind } = running.job
    const { signal } = running.abort
    try {
      signal.throwIfAborted()
      this.change(running, { state: 'running' })
      const progress = (done: number, total?: number) => {
        this.change(running, { progress: { done, total } })
      }
      const result = await work({ signal, progress, options })
      // What was cancelled too late is done.
      this.end(running, { state: 'done', result })
    } catch (cause) {
      if (signal.aborted) {
        this.end(running, { state: 'cancelled' })
      } else {
        this.options.log.error({ job: kind, id, cause }, 'job failed')
        const error = (cause instanceof RegistryError && cause.entries[0]?.message) || SEE_LOG
        this.end(running, { state: 'failed', error })
      }
    }
    return running.job
  }

  private end(running: Running, end: JobEnd): void {
    this.ends[running.job.kind][end.state]++
    this.watching -= running.watchers.size
    this.ended = [{ ...running.job, ...end, endedAt: this.options.now() }, ...this.ended].slice(0, ENDED_MAX)
    this.running.delete(running.job.id)
    this.change(running, this.ended[0] ?? end)
    running.watchers.clear()
  }

  /** Jobs that were answered stay as they were: each change makes a new one. */
  private change(running: Running, change: Partial<Job>): void {
    running.job = { ...running.job, ...change }
    for (const watcher of running.watchers) watcher(running.job)
  }
}

function noteOf({ id, kind, state, result }: Job): Pick<JobAct, 'target' | 'detail'> {
  return { target: id, detail: { kind, state, ...result } }
}
