import { type Condition, SYSTEM, type Write } from '../access/access.ts'
import type { Metadata } from '../database/metadata.ts'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import type { Manifest } from '../oci/manifest.ts'
import { formatReference, type Reference, type RepositoryName, type Tag } from '../oci/reference.ts'
import type { Manifests, StoredManifest } from '../registry/registry.ts'
import { pullOnly } from '../registry/store.ts'
import { Flights, inTime, type LastUse, throwUnlessUnknown, unlessUnknown } from './flights.ts'
import { evictingOnce, type Room, unlessFull } from './room.ts'
import { type CheckFailure, type StaleNews, TagChecks } from './tag-checks.ts'
import type { AnswerTime } from './upstream/endpoints.ts'
import { refusalOf, UpstreamError } from './upstream/failure.ts'
import type { FetchedManifest, Upstream, UpstreamSet } from './upstream/upstream.ts'

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
  async delete(
    ...[caller, repository, reference, precondition]: Parameters<Manifests['delete']>
  ): Promise<void> {
    const { local, upstreams, now } = this.options
    if (upstreams.of(repository) === undefined)
      return await local.delete(caller, repository, reference, precondition)
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
    const name = formatReference(reference)
    try {
      const flight = this.flights.join(`${repository}@${name}`, async () => {
        const passed = await this.fetchOne(upstream, repository, reference, reference.tag)
        if (reference.tag !== undefined) this.checks.noteFetched(repository, reference.tag)
        return passed
      })
      return await inTime(flight, this.options.firstByteMs, upstream)
    } catch (error) {
      throw refusalOf(
        error,
        `${repository}${reference.tag === undefined ? '@' : ':'}${name}`,
        'MANIFEST_UNKNOWN',
      )
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
    const passed = await this.fetchOne(
      upstream,
      repository,
      digest === undefined ? { tag } : { digest },
      tag,
      time,
    )
    if (passed !== undefined) throw noSpace()
  }

  /** Fetches and stores a manifest. If there is no space for it, even after an eviction, returns it without storing it. */
  private async fetchOne(
    upstream: Upstream,
    repository: RepositoryName,
    reference: Reference,
    tag: Tag | undefined,
    time: AnswerTime = { deadlineMs: this.options.firstByteMs },
  ): Promise<StoredManifest | undefined> {
    const { metadata, room, now, manifestBytesMax: bytesMax, readManifest } = this.options
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
    const labels = await this.options.labels.of(repository, parsed, bytes)
    const put = { repository, digest: expected, sha256, tag, manifest, bytes, labels }
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
    throw new UpstreamError(
      'wrong',
      `${upstream.name} sends a manifest that is malformed: ${error.entries[0]?.message}`,
    )
  }
}

function noSpace(): RegistryError {
  const message = 'there is no space for the manifest: raise cache.bytes-max, or free some space on the disk'
  return registryError('INTERNAL', message, { status: 507 })
}
