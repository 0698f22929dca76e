import type { Logger } from 'pino'
import type { UpstreamSettings } from '../config/upstreams.ts'
import type { Metadata } from '../database/metadata.ts'
import { registryError } from '../oci/error.ts'
import type { Digest, RepositoryName, Tag } from '../oci/reference.ts'
import type { Registry, RequireLocal, Uploads } from '../registry/registry.ts'
import { pullOnly } from '../registry/store.ts'
import type { CacheCounts } from '../runtime/metrics.ts'
import type { BlobStore, FillStore } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import { CachedBlobs, type CachedBlobsOptions } from './blobs.ts'
import { type Fill, Fills } from './fills.ts'
import { LastUse } from './flights.ts'
import { cachedLists } from './lists.ts'
import { CachedManifests, type CachedManifestsOptions, type SearchableLabels } from './manifests.ts'
import { Passages } from './passages.ts'
import { evictingOnce, Partials, Room } from './room.ts'
import type { UpstreamSet } from './upstream/upstream.ts'

export interface ProxyCacheOptions extends Pick<CachedManifestsOptions, 'readManifest' | 'manifestBytesMax'> {
  local: Registry & { uploads: Uploads; labels: SearchableLabels }
  metadata: Metadata
  blobs: BlobStore
  fills: FillStore
  locks: DigestLocks
  upstreams: UpstreamSet
  settings: CacheSettings
  log: Logger
  now: () => number
  monotonic: () => number
  diskNow: () => { totalBytes: number; freeBytes: number }
  counts: CacheCounts
  /** Notified of good bytes, which may replace damaged ones. */
  damaged: CachedBlobsOptions['damaged'] & { heal(digest: Digest): Promise<void> }
}

/** The setting `cache`. */
export interface CacheSettings {
  bytesMax: number
  freeBytesMin?: number
  freshSeconds: number
  staleWhileRevalidateSeconds: number
  deadlineMilliseconds: number
  firstByteSecondsMax: number
  stallSecondsMax: number
  totalSecondsMax: number
  fillsMax: number
}

/**
 * A registry that wraps the local one. Repositories whose names begin with an upstream's are fetched from there on
 * demand. All others belong to the local registry.
 */
export class ProxyCache {
  readonly registry: Registry & { uploads: Uploads }
  readonly room: Room
  readonly lastUse: LastUse
  readonly upstreams: UpstreamSet
  readonly bytesMax: number
  readonly counts: CacheCounts
  private readonly fills: Fills
  private readonly partials: Partials
  private readonly passages: Passages
  readonly manifests: CachedManifests
  private readonly forgetAnswers: () => void

  constructor(options: ProxyCacheOptions) {
    const { local, metadata, upstreams, settings, log, now, counts } = options
    const onRequest = (upstream: string, result: string) => counts.requests.add([upstream, result])
    this.upstreams = upstreams
    this.bytesMax = settings.bytesMax
    this.counts = counts
    this.lastUse = new LastUse((uses) => metadata.write('touchCached', { uses }), now)
    const firstByteMs = settings.firstByteSecondsMax * 1000
    this.fills = this.openFills(options)
    this.passages = this.openPassages(options)
    this.partials = new Partials({
      ...options,
      store: options.fills,
      isRunning: (id) => this.fills.list().some(({ upload }) => upload.id === id),
    })
    this.room = new Room({
      ...options,
      partials: this.partials,
      lastUse: this.lastUse,
      bytesMax: settings.bytesMax,
      freeBytesMin: settings.freeBytesMin,
      fills: () => this.fills.list(),
      onEvicted: (bytes) => {
        counts.evictedBytes += bytes
        log.info({ bytes }, 'evicted what was used least recently')
      },
    })
    const { labels } = local
    const shared = { ...options, labels, firstByteMs, lastUse: this.lastUse, room: this.room }
    const freshMs = settings.freshSeconds * 1000
    const manifests = new CachedManifests({
      ...shared,
      local: local.manifests,
      freshMs,
      staleMs: settings.staleWhileRevalidateSeconds * 1000,
      deadlineMs: settings.deadlineMilliseconds,
      onRequest,
      onStale: ({ name }, repository, tag, { reason, cause }) =>
        log.warn({ upstream: name, repository, tag, cause }, `serving a stale tag: ${name} ${reason}`),
    })
    this.manifests = manifests
    const blobs = new CachedBlobs({
      ...shared,
      local: local.blobs,
      fills: this.fills,
      passages: this.passages,
      onRequest,
      onHitRead: (bytes) => {
        counts.hitBytes += bytes
      },
    })
    const lists = cachedLists({
      ...shared,
      tags: local.tags,
      referrers: local.referrers,
      manifests,
      freshMs,
      deadlineMs: settings.deadlineMilliseconds,
    })
    this.forgetAnswers = () => {
      manifests.forgetAnswers()
      blobs.sizes.forget()
      lists.forgetAnswers()
    }
    const { tags, referrers } = lists
    this.registry = { ...local, manifests, blobs, tags, referrers, uploads: pushes(local.uploads, upstreams) }
  }

  private openFills(options: ProxyCacheOptions): Fills {
    const { local, fills, locks, damaged, settings, metadata, counts, log, now, monotonic } = options
    return new Fills({
      store: fills,
      locks,
      monotonic,
      fillsMax: settings.fillsMax,
      deadlineMs: settings.firstByteSecondsMax * 1000,
      stallSecondsMax: settings.stallSecondsMax,
      totalSecondsMax: settings.totalSecondsMax,
      link: async (repositories, blob) => {
        const link = () => metadata.write('linkCached', { at: now(), repositories, ...blob })
        await evictingOnce(this.room, link)
        for (const repository of repositories) await local.labels.configArrived(repository, blob.digest)
        await damaged.heal(blob.digest)
      },
      onDiskFull: async (bytes) => {
        await this.room.evict(bytes)
      },
      onEnd: ({ order, upload, received }, cause) => {
        const { digest, size, repository } = order
        this.partials.note(upload, cause ? received : 0)
        if (cause) log.warn({ digest, repository, cause }, 'a blob could not be fetched from its upstream')
        else log.debug({ digest, repository, size }, 'cached a blob')
      },
      onReceived: (upstream, bytes) => counts.upstreamBytes.add([upstream], bytes),
      onResumed: () => {
        counts.resumed++
      },
    })
  }

  private openPassages({ settings, counts, monotonic }: ProxyCacheOptions): Passages {
    const { pace, places } = this.fills
    return new Passages({
      pace,
      places,
      monotonic,
      firstByteMs: settings.firstByteSecondsMax * 1000,
      stallSecondsMax: settings.stallSecondsMax,
      totalSecondsMax: settings.totalSecondsMax,
      pause: (milliseconds) => this.fills.pause(milliseconds),
      onReceived: (upstream, bytes) => counts.upstreamBytes.add([upstream], bytes),
    })
  }

  /** Adds an upstream, or replaces the one of this name. Downloads in progress continue with the new settings. */
  putUpstream(settings: UpstreamSettings): void {
    const replaced = this.upstreams.find(settings.name)
    const upstream = this.upstreams.put(settings)
    if (replaced !== undefined) this.fills.move(replaced, upstream)
    if (replaced !== undefined) this.passages.move(replaced, upstream)
    replaced?.close()
    this.forgetAnswers()
  }

  /** Removes an upstream and ends its downloads. Its repositories become local ones. */
  removeUpstream(name: string): void {
    const removed = this.upstreams.find(name)
    if (removed === undefined) return
    this.upstreams.remove(name)
    this.fills.end(removed)
    this.passages.end(removed)
    removed.close()
    this.forgetAnswers()
  }

  /** Returns the blob downloads in progress. */
  listFills(): readonly Fill[] {
    return this.fills.list()
  }

  /** Returns the bytes of interrupted downloads. */
  get partialBytes(): number {
    return this.partials.bytes(this.fills.list())
  }

  /** Reports whether a cached tag is served without a check. */
  isFresh(repository: RepositoryName, tag: Tag): boolean {
    const upstream = this.upstreams.of(repository)
    return upstream === undefined || this.manifests.checks.isFresh(upstream, repository, tag)
  }

  /** Ends all downloads. Their bytes stay, and the next pull resumes them. */
  async stop(): Promise<void> {
    this.passages.stop()
    await this.fills.stop()
    await this.lastUse.flush().catch(() => {})
    this.upstreams.close()
  }
}

/** Uploads are only possible in local repositories, even if they began before their name became that of an upstream. */
function pushes(uploads: Uploads, upstreams: UpstreamSet): Uploads {
  const requireLocal = (repository: RepositoryName) => {
    const upstream = upstreams.of(repository)
    if (upstream !== undefined) throw pullOnly(upstream.name)
  }
  return {
    ...uploads,
    async start(repository, algorithm) {
      requireLocal(repository)
      return await uploads.start(repository, algorithm)
    },
    async append(repository, id, body) {
      requireLocal(repository)
      return await uploads.append(repository, id, body)
    },
    async commit(caller, repository, id, digest, body) {
      requireLocal(repository)
      return await uploads.commit(caller, repository, id, digest, body)
    },
    async put(caller, repository, digest, body) {
      requireLocal(repository)
      return await uploads.put(caller, repository, digest, body)
    },
  }
}

/** Returns the check of acts that need a repository whose content was pushed. */
export function onlyLocal(upstreams: UpstreamSet): RequireLocal {
  return (repository, what) => {
    const upstream = upstreams.of(repository)
    if (upstream === undefined) return
    throw registryError(
      'REQUEST_INVALID',
      `${repository} is cached from ${upstream.name}: ${what}. To fetch it again, evict it and then pull it`,
    )
  }
}
