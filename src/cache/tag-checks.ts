import { LRUCache } from 'lru-cache'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import { STALE_REASONS, UpstreamError, type UpstreamErrorKind } from './upstream/failure.ts'
import type { Upstream } from './upstream/upstream.ts'

/** The maximum tags whose last check is in memory. */
const TAGS_MAX = 50_000

/** How much of the message of a failed check is kept for the log. */
const MESSAGE_LENGTH_MAX = 200

/** Why a check failed. `here`: this server refused the upstream's response, or could not store it. */
export type CheckFailure = UpstreamErrorKind | 'here'

/** Why a stale tag is served, as words after the upstream's name. */
const REASONS: Record<CheckFailure, string> = {
  ...STALE_REASONS,
  here: 'responded, but this server did not accept the response',
}

/** The pause after a failed check, in milliseconds, if the upstream sends no Retry-After. */
const PAUSE_MS: Record<CheckFailure, number> = {
  absent: 60_000,
  denied: 60_000,
  limited: 60_000,
  unsupported: 60_000,
  unavailable: 10_000,
  wrong: 60_000,
  here: 10_000,
}

export interface Freshness {
  freshMs: number
  staleMs: number
  /** How long a client waits for a check. */
  deadlineMs: number
}

export interface TagChecksOptions extends Freshness {
  /** Milliseconds since 1970. */
  now: () => number
  /** Returns when the tag was last checked, in milliseconds since 1970; null for a tag that was pushed here. */
  readCheckedAt(repository: RepositoryName, tag: Tag): number | null | undefined
  /** Moves the tag to the upstream's digest. Throws an UpstreamError if that cannot be found out. */
  follow(upstream: Upstream, repository: RepositoryName, tag: Tag): Promise<void>
}

/** The state of a cached tag's checks. */
interface TagState {
  /** Null for a tag that was pushed here. */
  checkedAt: number | null
  /** Why the last check failed. Caching the error itself would keep its stack. */
  failure: CheckFailure | undefined
  /** The message of that failure. */
  message: string | undefined
  /** The reason with which the tag was last served stale. */
  knownReason: string | undefined
  /** No check starts before this time. */
  quietUntil: number
  check: Promise<void> | undefined
  /** Whether the running check has taken longer than clients wait. */
  isLate: boolean
}

/** The result of checking a cached tag. */
export interface CheckedTag {
  /** The text of the Warning header. */
  warning?: string
  /** Why the last check failed. */
  failure?: CheckFailure
  isStale: boolean
  /** What to log: why the tag is stale, if that is not the reason of the last time. */
  news?: StaleNews
}

/** Why a tag is stale. */
export interface StaleNews {
  /** The words after the upstream's name. */
  reason: string
  /** The message of the failed check. */
  cause: string | undefined
}

/** Checks whether cached tags have moved at their upstreams. Concurrent requests share one check. */
export class TagChecks {
  private readonly options: TagChecksOptions
  private readonly states = new LRUCache<string, TagState>({ max: TAGS_MAX })

  constructor(options: TagChecksOptions) {
    this.options = options
  }

  /** Reports whether a cached tag may be served without a check: it was pushed here, or checked recently. */
  isFresh(upstream: Upstream, repository: RepositoryName, tag: Tag): boolean {
    const state = this.stateOf(repository, tag)
    if (state === undefined || state.checkedAt === null) return true
    return state.failure === undefined && this.options.now() - state.checkedAt < this.freshMsOf(upstream)
  }

  /** Checks a cached tag that is not fresh. Waits for the result if the tag is too old to be served stale. */
  async check(upstream: Upstream, repository: RepositoryName, tag: Tag, waits = true): Promise<CheckedTag> {
    const { now, staleMs, deadlineMs } = this.options
    const state = this.stateOf(repository, tag)
    if (state === undefined) return { isStale: false }
    const freshMs = this.freshMsOf(upstream)
    const age = now() - (state.checkedAt ?? 0)
    if (upstream.isUpFor(repository) && now() >= state.quietUntil) {
      state.check ??= this.run(upstream, repository, tag, state)
      if (waits && !state.isLate && age >= freshMs + staleMs) {
        const { check } = state
        const isLate = await isLateFor(check, deadlineMs)
        if (state.check === check) state.isLate = isLate
      }
    }
    return this.outcome(upstream, repository, tag, state, freshMs)
  }

  /** Returns why a cached tag cannot be confirmed now, as words after the upstream's name. */
  staleReason(upstream: Upstream, repository: RepositoryName, tag: Tag): string | undefined {
    if (this.isFresh(upstream, repository, tag)) return undefined
    const state = this.stateOf(repository, tag)
    return state && reasonOf(upstream, repository, state)
  }

  /** Records that the tag was just fetched. */
  noteFetched(repository: RepositoryName, tag: Tag): void {
    const state = this.stateOf(repository, tag)
    if (state) Object.assign(state, succeeded(this.options.now()))
  }

  /** Drops the state of a tag, so that it is read from the database again. */
  forget(repository: RepositoryName, tag: Tag): void {
    this.states.delete(`${repository}:${tag}`)
  }

  /** Drops the results of all checks. Their times are in the database. */
  forgetAll(): void {
    this.states.clear()
  }

  private freshMsOf({ settings }: Upstream): number {
    return settings.freshSeconds === undefined ? this.options.freshMs : settings.freshSeconds * 1000
  }

  /** Returns whether the tag is stale, with a warning that says why. */
  private outcome(
    upstream: Upstream,
    repository: RepositoryName,
    tag: Tag,
    state: TagState,
    freshMs: number,
  ): CheckedTag {
    const { checkedAt, failure, message } = state
    const age = this.options.now() - (checkedAt ?? 0)
    if (age < freshMs && failure === undefined) {
      state.knownReason = undefined
      return { isStale: false }
    }
    const reason = reasonOf(upstream, repository, state)
    if (reason === undefined) return { isStale: true }
    const isNews = state.knownReason !== reason
    state.knownReason = reason
    const asOf = new Date(checkedAt ?? 0).toISOString().replace(/\.\d+Z$/, 'Z')
    return {
      isStale: true,
      warning: `${repository}:${tag} is as of ${asOf}: ${upstream.name} ${reason}`,
      ...(failure && { failure }),
      ...(isNews && { news: { reason, cause: message } }),
    }
  }

  /** Returns a tag's state. The time of its last check is in the database, so a restart causes no checks. */
  private stateOf(repository: RepositoryName, tag: Tag): TagState | undefined {
    const key = `${repository}:${tag}`
    const known = this.states.get(key)
    if (known !== undefined) return known
    const checkedAt = this.options.readCheckedAt(repository, tag)
    if (checkedAt === undefined) return undefined
    const state = {
      checkedAt,
      failure: undefined,
      message: undefined,
      knownReason: undefined,
      quietUntil: 0,
      check: undefined,
      isLate: false,
    }
    this.states.set(key, state)
    return state
  }

  /** Never rejects. */
  private async run(
    upstream: Upstream,
    repository: RepositoryName,
    tag: Tag,
    state: TagState,
  ): Promise<void> {
    const { now, follow } = this.options
    try {
      await follow(upstream, repository, tag)
      Object.assign(state, succeeded(now()))
    } catch (error) {
      const upstreamError = error instanceof UpstreamError ? error : undefined
      const kind = upstreamError?.kind ?? 'here'
      const pauseSeconds = upstreamError?.retryAfterSeconds
      state.failure = kind
      state.message = String((error as Error).message).slice(0, MESSAGE_LENGTH_MAX)
      state.quietUntil = now() + (pauseSeconds === undefined ? PAUSE_MS[kind] : pauseSeconds * 1000)
    } finally {
      state.check = undefined
      state.isLate = false
    }
  }
}

function reasonOf(
  upstream: Upstream,
  repository: RepositoryName,
  { failure, isLate }: TagState,
): string | undefined {
  if (upstream.settings.offline) return 'is set to offline'
  if (failure !== undefined) return REASONS[failure]
  return upstream.isUpFor(repository) && !isLate ? undefined : STALE_REASONS.unavailable
}

/** What a check that succeeds changes in the state of a tag. */
function succeeded(checkedAt: number): Partial<TagState> {
  return { checkedAt, failure: undefined, message: undefined, knownReason: undefined, quietUntil: 0 }
}

/** Waits for a check up to a time limit. Reports whether the limit was reached. */
async function isLateFor(check: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: Timer | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, milliseconds, true)
  })
  const isLate = await Promise.race([check.then(() => false), late])
  clearTimeout(timer)
  return isLate
}
