import type { Metadata } from '../database/metadata.ts'
import { readParts } from '../oci/manifest.ts'
import { algorithmOf, type ByteRange, type Digest, digestOf, type RepositoryName } from '../oci/reference.ts'
import type { Blobs } from '../registry/registry.ts'
import { pullOnly } from '../registry/store.ts'
import type { OpenBlob } from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { Fill, FillOrder, Fills } from './fills.ts'
import { Flights, inTime, type LastUse, unlessUnknown } from './flights.ts'
import type { SearchableLabels } from './manifests.ts'
import type { Passages } from './passages.ts'
import { evictingOnce, type Room, unlessFull } from './room.ts'
import { refusalOf, UpstreamError } from './upstream/answer.ts'
import type { Upstream, UpstreamSet } from './upstream/upstream.ts'

/** Blobs up to this size are sent only when they are complete. */
const WHOLE_BYTES_MAX = 64 * 1024

/** Blobs, where repositories whose names begin with an upstream's are cached from there. */
export class CachedBlobs implements Blobs {
  private readonly options: CachedBlobsOptions
  readonly sizes: Flights

  constructor(options: CachedBlobsOptions) {
    this.options = options
    this.sizes = new Flights(options.monotonic)
  }

  /** Asks the upstream for the size of a blob that is not here. Fetches nothing. */
  async getSize(...[repository, digest, principal]: Parameters<Blobs['getSize']>): Promise<number> {
    const { local, upstreams } = this.options
    const upstream = upstreams.of(repository)
    if (upstream === undefined) return await local.getSize(repository, digest, principal)
    const here = await unlessUnknown(local.getSize(repository, digest))
    if (here !== undefined) return here
    const wanted = { upstream, repository, digest }
    return await this.refusing(wanted, async () => this.findSize(wanted) ?? (await this.sizeAt(wanted)))
  }

  open(repository: RepositoryName, digest: Digest): Promise<OpenBlob> {
    const { local, upstreams } = this.options
    const upstream = upstreams.of(repository)
    if (upstream === undefined) return local.open(repository, digest)
    return this.openCached(upstream, repository, digest)
  }

  private async openCached(
    upstream: Upstream,
    repository: RepositoryName,
    digest: Digest,
  ): Promise<OpenBlob> {
    const { local, lastUse, onRequest, onHitRead } = this.options
    const isFilling = this.fillOf(upstream, repository, digest) !== undefined
    const here = isFilling ? undefined : await unlessUnknown(local.open(repository, digest))
    if (here !== undefined) {
      lastUse.note(repository, digest, true)
      onRequest(upstream.name, 'hit')
      const read = (range: ByteRange) => {
        onHitRead(range.end - range.start)
        return this.read(here, range, upstream, repository, digest)
      }
      return { size: here.size, read }
    }
    const fetched = await this.fetchInTime({ upstream, repository, digest })
    lastUse.note(repository, digest, true)
    return fetched
  }

  async mount(...args: Parameters<Blobs['mount']>): Promise<boolean> {
    const upstream = this.options.upstreams.of(args[2].repository)
    if (upstream !== undefined) throw pullOnly(upstream.name)
    return await this.options.local.mount(...args)
  }

  /** Deleting a cached blob evicts it. The next pull fetches it again. */
  async delete(...[caller, repository, digest]: Parameters<Blobs['delete']>): Promise<void> {
    const { local, upstreams } = this.options
    await local.delete(caller, repository, digest)
    if (upstreams.of(repository) !== undefined) await this.evict(repository, digest)
  }

  /** Reads a stored blob. Only bytes that are missing on the disk, or have another length, are fetched again. */
  private async read(
    here: OpenBlob,
    range: ByteRange,
    upstream: Upstream,
    repository: RepositoryName,
    digest: Digest,
  ) {
    try {
      return await here.read(range)
    } catch (error) {
      const { damaged } = this.options
      if (await damaged.hasBytes(digest, here.size)) throw error
      // Other repositories may link it, too.
      damaged.hide(digest)
      await this.evict(repository, digest)
      return await (await this.fetchInTime({ upstream, repository, digest })).read(range)
    }
  }

  private async evict(repository: RepositoryName, digest: Digest): Promise<void> {
    const { metadata, room } = this.options
    const { blobs } = await metadata.write('unlinkCached', { repository, digest })
    await room.removeBytes(blobs)
  }

  private async fetchInTime(wanted: Wanted): Promise<OpenBlob> {
    const { firstByteMs, monotonic } = this.options
    const until = monotonic() + firstByteMs
    return await this.refusing(wanted, () =>
      inTime(this.fetch(wanted, { until, attempts: 3 }), firstByteMs, wanted.upstream),
    )
  }

  private async refusing<T>(
    { repository, digest }: Pick<Wanted, 'repository' | 'digest'>,
    work: () => Promise<T>,
  ): Promise<T> {
    const key = `${repository}@${digest}`
    let isRemembered = true
    try {
      this.sizes.throwIfAbsent(key)
      isRemembered = false
      return await work()
    } catch (error) {
      // Requests must not extend the time for which a 404 is remembered.
      if (!isRemembered) this.sizes.noteAbsent(key, error)
      throw refusalOf(error, `the blob ${digest} of ${repository}`, 'BLOB_UNKNOWN')
    }
  }

  /**
   * Knowing a digest does not prove access. A blob that was cached for another repository of the same upstream is
   * linked if a cached manifest of this repository names it. Otherwise the upstream must confirm that this repository
   * has the blob.
   */
  private async fetch(wanted: Wanted, limits: FetchLimits): Promise<OpenBlob> {
    const { metadata, fills, room, damaged } = this.options
    const { upstream, repository, digest } = wanted
    const running = this.fillOf(upstream, repository, digest)
    if (running !== undefined) return await this.join(running, repository, limits)
    const named = findNamedSize(metadata, repository, digest)
    if (named !== undefined) {
      const own = await this.findOwn({ ...wanted, size: named }, limits)
      if (own !== undefined) return own
    }
    const needsWord =
      named === undefined ||
      fills.find(digest) !== undefined ||
      this.isLendable(digest, upstream) ||
      room.needsConfirmation({ bytes: named, upload: fills.uploadOf(wanted) })
    const size = needsWord ? await this.sizeAt(wanted) : named
    if (named !== undefined && size !== named) {
      const what = `${upstream.name} says ${digest} has ${size} bytes, and its manifest ${named}`
      throw new UpstreamError('wrong', what)
    }
    const order = { ...wanted, size }
    const lent = needsWord && this.isLendable(digest, upstream) ? await this.lend(order, limits) : undefined
    if (lent !== undefined) return lent
    let isHere = false
    const find = () => fills.find(digest)
    const isStored = () => metadata.blobs.isStored(digest) && !damaged.isHidden(digest)
    const need = { bytes: size, upload: fills.uploadOf(order) }
    const fill = await room.admit(find, need, () => {
      // Another fill may have ended in the meantime.
      isHere = isStored() && this.isLendable(digest, upstream)
      if (isHere) return undefined
      this.options.onRequest(upstream.name, 'miss')
      return fills.begin(order)
    })
    const isForeign = fill !== undefined && fill.order.upstream !== upstream
    // It may have been published since, without a link for this repository.
    const isOver = fill !== undefined && find() !== fill
    if ((isHere || isOver || (isForeign && !needsWord)) && limits.attempts > 1)
      return await this.fetch(wanted, { ...limits, attempts: limits.attempts - 1 })
    const isShared = !isForeign || (needsWord && this.mayLend(fill.order.upstream.name, upstream))
    if (fill === undefined || fill.order.size !== size || !isShared) return this.through(order, limits)
    return await this.join(fill, repository, limits)
  }

  /** Opens a blob that the same upstream has sent, or is sending, for another repository, and that a manifest names. */
  private async findOwn(order: FillOrder, limits: FetchLimits): Promise<OpenBlob | undefined> {
    const { metadata, fills } = this.options
    const { upstream, repository, digest, size } = order
    if (metadata.cache.findLender(upstream.name, digest) === size) {
      const lent = await this.lend(order, limits)
      if (lent !== undefined) return lent
    }
    const running = fills.find(digest)
    const isOwn = running?.order.upstream === upstream && running.order.size === size
    return isOwn ? await this.join(running, repository, limits) : undefined
  }

  private async join(fill: Fill, repository: RepositoryName, limits: FetchLimits): Promise<OpenBlob> {
    if (!fill.repositories.has(repository)) fill.repositories.add(repository)
    if (fill.followed++ > 0) this.options.onRequest(fill.order.upstream.name, 'joined')
    return await this.follow(fill, repository, limits)
  }

  /**
   * Returns a body that follows a fill once its first byte has arrived, or a small one once it is complete. Clients wait
   * for the first byte, because Bun (1.4.5) sends no status line before it. If the disk is full by then, the blob is
   * passed through.
   */
  private async follow(fill: Fill, repository: RepositoryName, limits: FetchLimits): Promise<OpenBlob> {
    const { local, upstreams, monotonic } = this.options
    const { digest, size, upstream } = fill.order
    const through = (error: unknown) => {
      const own = upstreams.of(repository)
      if (own === undefined) throw error
      unlessFull(error)
      return this.through({ ...fill.order, upstream: own, repository }, limits)
    }
    if (size <= WHOLE_BYTES_MAX) return await fill.ended.then(() => local.open(repository, digest), through)
    const followed = {
      size,
      read: (range: ByteRange) =>
        this.refusing({ repository, digest }, async () => {
          const reached = inTime(fill.reach(range), limits.until - monotonic(), upstream)
          return await reached.then(
            () => fill.follow(range),
            (error) => through(error).read(range),
          )
        }),
    }
    return await fill.begun.then(() => followed, through)
  }

  private through(order: FillOrder, { until }: FetchLimits): OpenBlob {
    const { passages, monotonic, onRequest } = this.options
    onRequest(order.upstream.name, 'through')
    return {
      size: order.size,
      isSendable: (range) => passages.isSendable(range),
      read: (range) => this.refusing(order, () => passages.open(order, range, until - monotonic())),
    }
  }

  /**
   * Links a stored blob into the repository. Returns undefined if it has just been removed. If the disk is full, the blob
   * is passed through.
   */
  private async lend(order: FillOrder, limits: FetchLimits): Promise<OpenBlob | undefined> {
    const { metadata, locks, local, labels, room, now } = this.options
    const { repository, digest, size } = order
    const work = async () => {
      if (metadata.cache.holders(digest)[0]?.size !== size) return undefined
      const link = { repositories: [repository], digest, size }
      await evictingOnce(room, () => metadata.write('linkCached', { ...link, at: now() }))
      await labels.configArrived(repository, digest)
      return await unlessUnknown(local.open(repository, digest))
    }
    return await locks.push(digest, work).catch((error) => {
      unlessFull(error)
      return this.through(order, limits)
    })
  }

  private async sizeAt({ upstream, repository, digest }: Wanted): Promise<number> {
    const { firstByteMs, metadata } = this.options
    const size = await this.sizes.join(`${repository}@${digest}`, () =>
      upstream.getBlobSize(repository, digest, firstByteMs),
    )
    // Without room for it, nobody would compare the digest of an empty body.
    if (size === 0 && digest !== digestOf(new Uint8Array(), algorithmOf(digest)))
      throw new UpstreamError('wrong', `${upstream.name} says ${digest} has 0 bytes`)
    const known = size ?? findNamedSize(metadata, repository, digest)
    if (known !== undefined) return known
    throw new UpstreamError('wrong', `${upstream.name} does not say the size of ${digest}`)
  }

  /** Returns the running fill of a blob that this repository has requested. Joining it needs no other look-up. */
  private fillOf(upstream: Upstream, repository: RepositoryName, digest: Digest): Fill | undefined {
    const fill = this.options.fills.find(digest)
    return fill?.order.upstream === upstream && fill.repositories.has(repository) ? fill : undefined
  }

  /** Returns the size of a blob that the repository does not link, and that GET sends without asking the upstream. */
  private findSize({ upstream, repository, digest }: Wanted): number | undefined {
    const { metadata, fills, damaged } = this.options
    const running = fills.find(digest)
    const own = this.fillOf(upstream, repository, digest)
    if (own !== undefined) return own.order.size
    const named = findNamedSize(metadata, repository, digest)
    if (named === undefined) return undefined
    if (running?.order.upstream === upstream && running.order.size === named) return named
    const isLent = metadata.cache.findLender(upstream.name, digest) === named && !damaged.isHidden(digest)
    return isLent ? named : undefined
  }

  /** Reports whether a stored blob can be linked into a repository of an upstream, once that upstream has confirmed it. */
  private isLendable(digest: Digest, to: Upstream): boolean {
    return this.options.metadata.cache.holders(digest).some(({ upstream }) => this.mayLend(upstream, to))
  }

  /** Reports whether content of this holder can be used for an upstream. Undefined stands for pushed content. */
  private mayLend(holder: string | undefined, to: Upstream): boolean {
    if (holder === undefined || holder === to.name) return true
    return this.options.upstreams.find(holder)?.settings.isPrivate === false
  }
}

/** The dependencies of the blobs of upstreams. */
export interface CachedBlobsOptions {
  local: Blobs
  labels: Pick<SearchableLabels, 'configArrived'>
  metadata: Metadata
  upstreams: UpstreamSet
  fills: Fills
  passages: Passages
  room: Room
  locks: DigestLocks
  /** Stored blobs with damaged bytes. A fill replaces them. */
  damaged: {
    isHidden(digest: Digest): boolean
    /** Hides a blob whose bytes are missing, until it has good ones. */
    hide(digest: Digest): void
    /** Throws if the disk cannot say. */
    hasBytes(digest: Digest, size: number): Promise<boolean>
  }
  lastUse: LastUse
  now: () => number
  monotonic: () => number
  /** How long the upstream may take until its first response. */
  firstByteMs: number
  onRequest(upstream: string, result: 'hit' | 'miss' | 'joined' | 'through'): void
  onHitRead(bytes: number): void
}

/** A blob that a client has requested, of an upstream. */
type Wanted = Omit<FillOrder, 'size'>

/** The limits of one request's fetch. */
interface FetchLimits {
  /** The time by which the client must get a status line, in milliseconds of the monotonic clock. */
  until: number
  /** How many attempts are left. The state may change during each. */
  attempts: number
}

/** Larger manifests are not read, because that would hold up other requests. The upstream is asked instead. */
const MANIFEST_BYTES_MAX = 256 * 1024

/** Returns the size of a blob that a manifest of the repository states. */
function findNamedSize(metadata: Metadata, repository: RepositoryName, digest: Digest): number | undefined {
  for (const storedAs of metadata.cache.naming(repository, digest, MANIFEST_BYTES_MAX)) {
    const bytes = metadata.manifests.findBytes(storedAs)
    const { config, layers, children } = readParts(bytes ?? new Uint8Array())
    const part = [...(config ? [config] : []), ...layers, ...children].find((one) => one.digest === digest)
    if (part !== undefined && part.size > 0) return part.size
  }
  return undefined
}
