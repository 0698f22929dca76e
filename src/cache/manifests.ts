import { LRUCache } from 'lru-cache'
import { type Condition, SYSTEM, type Write } from '../access/access.ts'
import type { Metadata } from '../database/metadata.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import type { Manifest } from '../oci/manifest.ts'
import {
  algorithmOf,
  type Digest,
  digestOf,
  formatReference,
  type Reference,
  type RepositoryName,
  type Tag,
} from '../oci/reference.ts'
import type { Manifests, StoredManifest } from '../registry/registry.ts'
import { pullOnly } from '../registry/store.ts'
import { Flights, inTime, type LastUse, throwUnlessUnknown, unlessUnknown } from './flights.ts'
import { evictingOnce, type Room, unlessFull } from './room.ts'
import { refusalOf, STALE_REASONS, UpstreamError, type UpstreamErrorKind } from './upstream/answer.ts'
import type { AnswerTime, FetchedManifest, Upstream, UpstreamSet } from './upstream/upstream.ts'

/** Finds the labels that a search shows. */
export interface SearchableLabels {
  /** Returns the labels of a manifest that is about to be stored, without those of a config that is not cached. */
  of(repository: RepositoryName, manifest: Manifest, bytes: Uint8Array): Promise<string[]>
  /** Adds the labels of a config that has been cached. */
  configArrived(repository: RepositoryName, digest: Digest): Promise<void>
}

export interface CachedManifestsOptions {
  local: Manifests
  labels: SearchableLabels
  metadata: Metadata
  upstreams: UpstreamSet
  lastUse: LastUse
  room: Pick<Room, 'store' | 'evict' | 'removeBytes'>
  now: () => number
  monotonic: () => number
  manifestBytesMax: number
  freshMs: number
  staleMs: number
  deadlineMs: number
  /** How long the upstream may take until its first response, if nothing is cached. */
  firstByteMs: number
  /** Parses a manifest of any media type. `payload` is what its digest is of. Throws MANIFEST_INVALID or DENIED. */
  readManifest(
    repository: RepositoryName,
    reference: Reference,
    fetched: FetchedManifest,
  ): Promise<{ manifest: Manifest; payload: Uint8Array }>
  onRequest(upstream: string, result: 'hit' | 'stale' | 'miss' | 'through'): void
  /** Called when a tag is served stale for a reason that is not that of its last time. */
  onStale(upstream: Upstream, repository: RepositoryName, tag: Tag, why: StaleNews): void
}

/** Manifests, where repositories whose names begin with an upstream's are cached from there. */
export class CachedManifests implements Manifests {
  readonly checks: TagChecks
  private readonly options: CachedManifestsOptions
  private readonly flights: Flights

  constructor(options: CachedManifestsOptions) {
    this.options = options
    this.flights = new Flights(options.monotonic)
    const { metadata } = options
    this.checks = new TagChecks({
      ...options,
      readCheckedAt: (repository, tag) => metadata.cache.findTag(repository, tag)?.checkedAt,
      follow: (upstream, repository, tag) => this.follow(upstream, repository, tag),
    })
  }

  get(...args: Parameters<Manifests['get']>): Promise<StoredManifest> {
    const { local, upstreams } = this.options
    const upstream = upstreams.of(args[0])
    return upstream === undefined ? local.get(...args) : this.getCached(upstream, ...args)
  }

  private async getCached(
    upstream: Upstream,
    ...args: Parameters<Manifests['get']>
  ): Promise<StoredManifest> {
    const [repository, reference] = args
    const { local, lastUse, onRequest, onStale } = this.options
    let here: StoredManifest | undefined
    // Without `unlessUnknown`, which would cost each hit a promise.
    try {
      here = await local.get(...args)
    } catch (error) {
      throwUnlessUnknown(error)
    }
    if (here === undefined) {
      let passed: StoredManifest | undefined
      try {
        passed = await this.fetch(upstream, repository, reference)
      } finally {
        onRequest(upstream.name, passed === undefined ? 'miss' : 'through')
      }
      return passed ?? (await local.get(...args))
    }
    if (reference.tag === undefined || this.checks.isFresh(upstream, repository, reference.tag)) {
      onRequest(upstream.name, 'hit')
      lastUse.note(repository, here.digest, false)
      return here
    }
    const { warning, failure, isStale, news } = await this.checks.check(upstream, repository, reference.tag)
    onRequest(upstream.name, isStale ? 'stale' : 'hit')
    await this.giveUp(upstream, repository, reference, failure)
    if (news !== undefined) onStale(upstream, repository, reference.tag, news)
    const found = await this.getOrFetch(upstream, ...args)
    lastUse.note(repository, found.digest, false)
    return warning === undefined ? found : { ...found, warning }
  }

  async put(...args: Parameters<Manifests['put']>) {
    const upstream = this.options.upstreams.of(args[1].repository)
    if (upstream !== undefined) throw pullOnly(upstream.name)
    return await this.options.local.put(...args)
  }

  /** Deleting cached content evicts it. The next pull fetches it again. */
  async delete(...args: Parameters<Manifests['delete']>): Promise<void> {
    const { local, upstreams, now } = this.options
    const [caller, repository, reference, precondition] = args
    if (upstreams.of(repository) === undefined) return await local.delete(...args)
    await this.evict({ caller, at: now() }, repository, reference, precondition)
  }

  /** Evicts one manifest with its tags, or one tag. */
  async evict(
    act: Write,
    repository: RepositoryName,
    reference: Reference,
    precondition?: Condition,
  ): Promise<void> {
    const { metadata, room } = this.options
    const { blobs } = await metadata.write('evictReference', { ...act, repository, reference, precondition })
    if (reference.tag !== undefined) this.checks.forget(repository, reference.tag)
    await room.removeBytes(blobs)
  }

  /** Evicts a whole repository, in parts. */
  async evictAll(act: Write, repository: RepositoryName): Promise<void> {
    const { metadata, room } = this.options
    for (let call = act, more = true; more; call = { ...act, condition: undefined }) {
      const evicted = await metadata.write('evictRepository', { ...call, repository })
      await room.removeBytes(evicted.blobs)
      more = evicted.more
    }
  }

  /** Drops the cached responses of upstreams. */
  forgetAnswers(): void {
    this.flights.forget()
    this.checks.forgetAll()
  }

  /** Checks a tag now, and moves it if it has moved at the upstream. Returns its digest. */
  async refresh(repository: RepositoryName, tag: Tag): Promise<Digest> {
    const upstream = this.options.upstreams.of(repository)
    if (upstream === undefined) throw registryError('NAME_UNKNOWN', `${repository} is not of an upstream`)
    const key = `${repository}@${tag}`
    this.flights.forget(key)
    try {
      await this.flights.join(key, () => this.follow(upstream, repository, tag))
    } catch (error) {
      throw refusalOf(error, `${repository}:${tag}`, 'MANIFEST_UNKNOWN', 'cannot be checked:')
    }
    this.checks.noteFetched(repository, tag)
    return (await this.getOrFetch(upstream, repository, { tag })).digest
  }

  /** Returns a manifest that was here. If it has been evicted in the meantime, it is fetched again. */
  private async getOrFetch(
    upstream: Upstream,
    ...args: Parameters<Manifests['get']>
  ): Promise<StoredManifest> {
    const { local } = this.options
    const here = await unlessUnknown(local.get(...args))
    if (here !== undefined) return here
    const [repository, reference] = args
    return (await this.fetch(upstream, repository, reference)) ?? (await local.get(...args))
  }

  /** Fetches a manifest. Concurrent callers share one request. Returns the manifest only if it cannot be stored. */
  private async fetch(
    upstream: Upstream,
    repository: RepositoryName,
    reference: Reference,
  ): Promise<StoredManifest | undefined> {
    const key = `${repository}@${formatReference(reference)}`
    try {
      const flight = this.flights.join(key, async () => {
        const passed = await this.fetchOne(upstream, repository, reference, reference.tag)
        if (reference.tag !== undefined) this.checks.noteFetched(repository, reference.tag)
        return passed
      })
      return await inTime(flight, this.options.firstByteMs, upstream)
    } catch (error) {
      const what = reference.tag === undefined ? key : `${repository}:${reference.tag}`
      throw refusalOf(error, what, 'MANIFEST_UNKNOWN')
    }
  }

  /** Checks a tag at the upstream, and fetches its manifest if it is not cached. */
  private async follow(upstream: Upstream, repository: RepositoryName, tag: Tag): Promise<void> {
    const { metadata, firstByteMs, deadlineMs, now } = this.options
    const time = { deadlineMs: firstByteMs, clientWaitMs: deadlineMs }
    const digest = await upstream.checkTag(repository, { tag }, time)
    if (digest !== undefined && digest === metadata.cache.findTag(repository, tag)?.digest) {
      // On a full disk, it is noted in memory only.
      await metadata.write('noteChecks', { checks: [{ repository, tag, at: now() }] }).catch(unlessFull)
      return
    }
    // By digest, because the tag may have moved since.
    const reference = digest === undefined ? { tag } : { digest }
    if ((await this.fetchOne(upstream, repository, reference, tag, time)) === undefined) return
    const full = 'there is no space for the manifest: raise cache.bytes-max, or free some space on the disk'
    throw registryError('INTERNAL', full, { status: 507 })
  }

  /** Fetches and stores a manifest. If there is no space for it, even after an eviction, returns it without storing it. */
  private async fetchOne(
    upstream: Upstream,
    repository: RepositoryName,
    reference: Reference,
    tag: Tag | undefined,
    time: AnswerTime = { deadlineMs: this.options.firstByteMs },
  ): Promise<StoredManifest | undefined> {
    const { metadata, room, now, manifestBytesMax: bytesMax, readManifest, labels } = this.options
    using fetched = await upstream.getManifest(repository, reference, { bytesMax, ...time })
    const reading = readManifest(repository, reference, fetched)
    const { manifest: parsed, payload } = await orBlame(upstream, reading)
    const { annotations: _, ...manifest } = parsed
    const sha256 = digestOf(payload)
    const expected = reference.digest ?? fetched.digest ?? sha256
    const actual = expected === sha256 ? sha256 : digestOf(payload, algorithmOf(expected))
    if (actual !== expected) {
      throw new UpstreamError('wrong', `${upstream.name} sends ${actual} for ${expected}`)
    }
    const { bytes } = fetched
    const found = await labels.of(repository, parsed, bytes)
    const put = { repository, digest: expected, sha256, tag, manifest, bytes, labels: found }
    const write = () => metadata.write('cacheManifest', { ...put, at: now() })
    const stored = await evictingOnce(room, () => room.store(bytes.length, write)).catch(unlessFull)
    if (stored !== undefined) return undefined
    return { digest: expected, mediaType: manifest.mediaType, bytes }
  }

  /** Applies the settings for a tag that the upstream has deleted or refuses. */
  private async giveUp(
    upstream: Upstream,
    repository: RepositoryName,
    reference: Reference & { tag: Tag },
    failure: CheckFailure | undefined,
  ): Promise<void> {
    const { gone, refused } = upstream.settings
    const what = `${repository}:${reference.tag}`
    if (failure === 'denied' && refused === 'refuse') {
      throw registryError('DENIED', `${upstream.name} refuses ${what} to the account that is configured`)
    }
    if (failure !== 'absent' || gone === 'keep') return
    await this.delete(SYSTEM, repository, reference).catch(() => {})
    throw registryError('MANIFEST_UNKNOWN', `${upstream.name} no longer has ${what}`)
  }
}

/** Throws an UpstreamError for a manifest that is malformed. Other errors are thrown unchanged. */
async function orBlame<T>(upstream: Upstream, reading: Promise<T>): Promise<T> {
  try {
    return await reading
  } catch (error) {
    if (!(error instanceof RegistryError) || error.status === 403 || error.status >= 500) throw error
    const what = `${upstream.name} sends a manifest that is malformed: ${error.entries[0]?.message}`
    throw new UpstreamError('wrong', what)
  }
}

/** The maximum tags whose last check is in memory. */
const TAGS_MAX = 50_000

/** How much of the message of a failed check is kept for the log. */
const MESSAGE_LENGTH_MAX = 200

/** Why a check failed. `here`: this server refused the upstream's response, or could not store it. */
type CheckFailure = UpstreamErrorKind | 'here'

/** Why a stale tag is served, as words after the upstream's name. */
const REASONS: Record<CheckFailure, string> = {
  ...STALE_REASONS,
  here: 'responded, but this server did not accept the response',
}

/** The pause after a failed check, in seconds, if the upstream sends no Retry-After. */
const PAUSE_SECONDS = 60
/** The pause after a failure that may soon be over. */
const SHORT_PAUSE_SECONDS = 10

interface TagChecksOptions
  extends Pick<CachedManifestsOptions, 'freshMs' | 'staleMs' | 'deadlineMs' | 'now'> {
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
interface CheckedTag {
  /** The text of the Warning header. */
  warning?: string
  /** Why the last check failed. */
  failure?: CheckFailure
  isStale: boolean
  /** What to log: why the tag is stale, if that is not the reason of the last time. */
  news?: StaleNews
}

/** Why a tag is stale: the words after the upstream's name, and the message of the failed check. */
interface StaleNews {
  reason: string
  cause: string | undefined
}

/** Checks whether cached tags have moved at their upstreams. Concurrent requests share one check. */
class TagChecks {
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
  async check(upstream: Upstream, repository: RepositoryName, tag: Tag): Promise<CheckedTag> {
    const { now, staleMs, deadlineMs } = this.options
    const state = this.stateOf(repository, tag)
    if (state === undefined) return { isStale: false }
    const freshMs = this.freshMsOf(upstream)
    const age = now() - (state.checkedAt ?? 0)
    if (upstream.isUpFor(repository) && now() >= state.quietUntil) {
      state.check ??= this.run(upstream, repository, tag, state)
      if (!state.isLate && age >= freshMs + staleMs) {
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
  private async run(upstream: Upstream, repository: RepositoryName, tag: Tag, state: TagState) {
    const { now, follow } = this.options
    try {
      await follow(upstream, repository, tag)
      Object.assign(state, succeeded(now()))
    } catch (error) {
      const { kind, retryAfterSeconds }: { kind: CheckFailure; retryAfterSeconds?: number | undefined } =
        error instanceof UpstreamError ? error : { kind: 'here' }
      const pause = kind === 'unavailable' || kind === 'here' ? SHORT_PAUSE_SECONDS : PAUSE_SECONDS
      state.failure = kind
      state.message = String((error as Error).message).slice(0, MESSAGE_LENGTH_MAX)
      state.quietUntil = now() + (retryAfterSeconds ?? pause) * 1000
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
