import { LRUCache } from 'lru-cache'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { Upstream } from './upstream.ts'
import { UpstreamError, type UpstreamErrorKind } from './upstream-error.ts'

/** Tags whose last check is remembered. */
const TAGS_MAX = 50_000

/** How long after a failed check the next one is made, in milliseconds, where the upstream does not say. */
const PAUSE_MS: Record<UpstreamErrorKind, number> = {
  absent: 60_000,
  denied: 60_000,
  limited: 60_000,
  unsupported: 60_000,
  unavailable: 10_000,
  wrong: 60_000,
}

/** The same words each time, so that the headers of what is sent can be remembered. */
const REASONS: Record<UpstreamErrorKind, string> = {
  absent: 'no longer has it',
  denied: 'refuses it',
  limited: 'limits the pulls',
  unsupported: 'cannot be asked for it',
  unavailable: 'does not answer',
  wrong: 'answers something else',
}

export interface Freshness {
  freshMs: number
  staleMs: number
  /** How long somebody is kept waiting for a check. */
  deadlineMs: number
}

export interface TagChecksOptions extends Freshness {
  /** Milliseconds since 1970. */
  now: () => number
  /** When the tag was last the same at its upstream, in milliseconds since 1970; null for one that was pushed. */
  readCheckedAt(repository: RepositoryName, tag: Tag): number | null | undefined
  /** Brings the tag to where it is at its upstream. Throws an UpstreamError when that is not known. */
  follow(upstream: Upstream, repository: RepositoryName, tag: Tag): Promise<void>
  onFailed(upstream: Upstream, repository: RepositoryName, tag: Tag, error: UpstreamError): void
}

/** A tag that is here: what is known of it at its upstream. */
interface TagState {
  /** Null for a tag that was pushed here. */
  checkedAt: number | null
  /** What the last check failed with. Not the error, which would keep its stack. */
  failure: UpstreamErrorKind | undefined
  /** No check is made before. */
  quietUntil: number
  check: Promise<void> | undefined
  /** The running check has taken longer than clients wait for it. */
  isLate: boolean
}

/** What to do with the tag that is here. */
export interface CheckedTag {
  /** What the client should hear. */
  warning?: string
  /** What the last check failed with. */
  failure?: UpstreamErrorKind
  isStale: boolean
}

/** Sees to it that cached tags follow their upstreams: one check for all principals, and none before its time. */
export class TagChecks {
  private readonly options: TagChecksOptions
  private readonly states = new LRUCache<string, TagState>({ max: TAGS_MAX })

  constructor(options: TagChecksOptions) {
    this.options = options
  }

  /** Whether a tag that is here may be sent without a check: it was pushed, or checked a short time ago. */
  isFresh(upstream: Upstream, repository: RepositoryName, tag: Tag): boolean {
    const state = this.stateOf(repository, tag)
    if (state === undefined || state.checkedAt === null) return true
    return state.failure === undefined && this.options.now() - state.checkedAt < this.freshMsOf(upstream)
  }

  /** Checks a tag that is here and not fresh, and waits for the outcome where it must. */
  async check(upstream: Upstream, repository: RepositoryName, tag: Tag, waits = true): Promise<CheckedTag> {
    const { now, staleMs, deadlineMs } = this.options
    const state = this.stateOf(repository, tag)
    if (state === undefined) return { isStale: false }
    const freshMs = this.freshMsOf(upstream)
    const age = now() - (state.checkedAt ?? 0)
    if (upstream.isUp && now() >= state.quietUntil) {
      state.check ??= this.run(upstream, repository, tag, state)
      if (waits && !state.isLate && age >= freshMs + staleMs) {
        const { check } = state
        const isLate = await isLateFor(check, deadlineMs)
        if (state.check === check) state.isLate = isLate
      }
    }
    return this.outcome(upstream, repository, tag, state, freshMs)
  }

  /** The tag has just been fetched. */
  noteFetched(repository: RepositoryName, tag: Tag): void {
    const state = this.stateOf(repository, tag)
    if (state) Object.assign(state, { checkedAt: this.options.now(), failure: undefined, quietUntil: 0 })
  }

  /** Has the next pull check the tag, whatever is remembered. */
  forget(repository: RepositoryName, tag: Tag): void {
    this.states.delete(`${repository}:${tag}`)
  }

  /** Forgets what the checks of all tags said; when they were made is in the database. */
  forgetAll(): void {
    this.states.clear()
  }

  private freshMsOf({ settings }: Upstream): number {
    return settings.freshSeconds === undefined ? this.options.freshMs : settings.freshSeconds * 1000
  }

  /** Says how much a tag that is here can be relied on. */
  private outcome(
    upstream: Upstream,
    repository: RepositoryName,
    tag: Tag,
    { checkedAt, failure, isLate }: TagState,
    freshMs: number,
  ): CheckedTag {
    const age = this.options.now() - (checkedAt ?? 0)
    if (age < freshMs && failure === undefined) return { isStale: false }
    const reason = upstream.settings.offline
      ? 'is set to offline'
      : failure !== undefined
        ? REASONS[failure]
        : upstream.isUp && !isLate
          ? undefined
          : REASONS.unavailable
    if (reason === undefined) return { isStale: true }
    const asOf = new Date(checkedAt ?? 0).toISOString().replace(/\.\d+Z$/, 'Z')
    return {
      isStale: true,
      warning: `${repository}:${tag} is as of ${asOf}: ${upstream.name} ${reason}`,
      ...(failure && { failure }),
    }
  }

  /** What is known of a tag; from the database when nothing is remembered, so that a restart asks nobody again. */
  private stateOf(repository: RepositoryName, tag: Tag): TagState | undefined {
    const key = `${repository}:${tag}`
    const known = this.states.get(key)
    if (known !== undefined) return known
    const checkedAt = this.options.readCheckedAt(repository, tag)
    if (checkedAt === undefined) return undefined
    const state = { checkedAt, failure: undefined, quietUntil: 0, check: undefined, isLate: false }
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
    const { now, follow, onFailed } = this.options
    try {
      await follow(upstream, repository, tag)
      Object.assign(state, { checkedAt: now(), failure: undefined, quietUntil: 0 })
    } catch (error) {
      const failure =
        error instanceof UpstreamError
          ? error
          : new UpstreamError('unavailable', 'the check failed', { cause: error })
      const { kind, retryAfterSeconds } = failure
      const isNews = state.failure !== kind
      state.failure = kind
      state.quietUntil = now() + (retryAfterSeconds === undefined ? PAUSE_MS[kind] : retryAfterSeconds * 1000)
      if (isNews) onFailed(upstream, repository, tag, failure)
    } finally {
      state.check = undefined
      state.isLate = false
    }
  }
}

/** Waits for a check at most so long, and answers whether that was too short. */
async function isLateFor(check: Promise<void>, milliseconds: number): Promise<boolean> {
  let timer: Timer | undefined
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, milliseconds, true)
  })
  const isLate = await Promise.race([check.then(() => false), late])
  clearTimeout(timer)
  return isLate
}
