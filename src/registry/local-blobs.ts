import { LRUCache } from 'lru-cache'
import type { Access, Caller } from '../access/access.ts'
import type { Metadata } from '../database/metadata.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import { algorithmOf, type ByteRange, type Digest, type RepositoryName } from '../oci/reference.ts'
import {
  type BlobStat,
  type BlobStore,
  SMALL_BYTES_MAX,
  type Upload,
  type UploadBody,
  type UploadStore,
} from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import { uuidOf } from '../storage/upload-files.ts'
import {
  type Blobs,
  type PushActivity,
  type StoredManifest,
  type UploadLimits,
  type Uploads,
  unknownIn,
} from './registry.ts'
import type { GarbageWindow } from './store.ts'

/** The dependencies and settings of the blobs of a data folder. */
export interface BlobOptions {
  metadata: Metadata
  blobs: BlobStore
  damaged: Damaged
  uploads: UploadStore
  /** Serializes pushes and removals of the same bytes. */
  locks: DigestLocks
  /** How long unreferenced content is kept. */
  garbageWindow: GarbageWindow
  access: Access
  /** Records push activity, so that purges do not delete what a push needs. */
  activity: PushActivity
  /** Milliseconds since 1970. */
  now: () => number
  /** Counts uploads in progress against quotas. */
  room: UploadLimits
}

/** The blobs of this data folder, by the repositories that link them. */
export function localBlobs(options: BlobOptions, cache: ReadCache, small: SmallBlobs): Blobs {
  const { metadata, blobs, access, now, damaged, activity, garbageWindow } = options
  const unknown = (repository: RepositoryName, digest: Digest) => {
    const error = registryError('BLOB_UNKNOWN', `${repository} has no blob ${digest}`, { detail: { digest } })
    return unknownIn(metadata, repository, error)
  }
  const find = (repository: RepositoryName, digest: Digest) => {
    const cached = cache.findSize(repository, digest)
    if (cached !== undefined) return { size: cached, unreferencedAt: null }
    const found = metadata.blobs.find(repository, digest)
    if (found === undefined) throw unknown(repository, digest)
    // The size of an unreferenced blob is not cached, so that each caller who may push renews its grace period.
    if (found.unreferencedAt === null) cache.putSize(repository, digest, found.size)
    return found
  }
  /** Keeps a blob for the grace period, because a push may rely on it. Returns whether it still exists. */
  const keep = async (repository: RepositoryName, digest: Digest, unreferencedAt: number) => {
    const at = now()
    if (at - unreferencedAt <= garbageWindow.graceMs / 2) return true
    return await metadata.write('renewBlob', { at, repository, digest })
  }
  return {
    async getSize(repository, digest, principal) {
      const isPusher = principal !== undefined && access.may(principal, 'push', repository)
      if (isPusher) activity.note(repository)
      const { size, unreferencedAt } = find(repository, digest)
      if (await damaged.has(digest, size)) throw unknown(repository, digest)
      if (!isPusher) return size
      // A client that gets "not found" pushes the blob again, which replaces lost bytes.
      const here = small.has({ digest, size })
      // A small blob in memory needs no await. Clients ask for every blob of an image.
      const isKept =
        (here === true || (await here)) &&
        (unreferencedAt === null || (await keep(repository, digest, unreferencedAt)))
      if (isKept) return size
      throw unknown(repository, digest)
    },

    async open(repository, digest) {
      const { size } = find(repository, digest)
      if (await damaged.has(digest, size)) throw unknown(repository, digest)
      if (!small.isSmall(size)) return { size, read: (range) => blobs.open({ digest, size }, range) }
      const read = async ({ start, end }: ByteRange) => {
        const bytes = await small.read({ digest, size })
        return { bytes: bytes.subarray(start, end) }
      }
      return { size, read }
    },

    async mount(caller, identity, { repository, digest, from }) {
      // Checks grants, not the token's scope: without "from", no client can request a scope for the source.
      const source = from ?? metadata.blobs.findSource(digest, access.pullable(identity))
      if (source === undefined || !access.may(identity, 'pull', source)) return false
      const found = metadata.blobs.find(source, digest)
      if (found === undefined || (await damaged.has(digest, found.size))) return false
      if (!(await small.has({ digest, size: found.size }))) return false
      activity.note(repository)
      const size = await metadata.write('mountBlob', { caller, at: now(), repository, digest, from: source })
      return size !== undefined
    },

    async delete(caller, repository, digest) {
      await metadata.write('unlinkBlob', { caller, at: now(), repository, digest })
    },
  }
}

/** A quota is full (403), or the name has become that of an upstream (405): the bytes are removed again. */
const REFUSED = [403, 405]

/** The uploads of this data folder. */
export function localUploads(options: BlobOptions, small: SmallBlobs): Uploads {
  const { uploads, room, activity } = options
  const { receive, publish } = blobPublisher(options, small)
  const get = async (repository: RepositoryName, id: string): Promise<Upload> => {
    const upload = await uploads.find(repository, id)
    if (upload !== undefined) return upload
    const message = `${repository} has no upload ${JSON.stringify(id)}: start a new one`
    throw registryError('BLOB_UPLOAD_UNKNOWN', message)
  }
  return {
    async start(repository, algorithm) {
      activity.note(repository)
      return { id: uploads.start(repository, algorithm).id, size: 0 }
    },

    async get(repository, id) {
      return { id, size: await uploads.getSize(await get(repository, id)) }
    },

    async append(repository, id, body) {
      const upload = await get(repository, id)
      const size = await receive(repository, upload, body, () => uploads.append(upload, body))
      room.settle(uuidOf(id), size)
      return { id, size }
    },

    async commit(caller, repository, id, digest, body) {
      return await publish(caller, repository, await get(repository, id), digest, body)
    },

    async put(caller, repository, digest, body) {
      const upload = uploads.start(repository, algorithmOf(digest))
      try {
        return await publish(caller, repository, upload, digest, body)
      } catch (error) {
        await uploads.cancel(upload).catch(() => {})
        throw error
      }
    },

    async cancel(repository, id) {
      await uploads.cancel(await get(repository, id))
    },
  }
}

/** Receives the bodies of uploads and publishes them as blobs. */
function blobPublisher(
  { metadata, blobs, uploads, locks, damaged, room, activity, now }: BlobOptions,
  small: SmallBlobs,
) {
  /** Receives a body. Throws DENIED when it exceeds a quota. */
  const receive = async <T>(
    repository: RepositoryName,
    upload: Upload,
    body: UploadBody,
    work: () => Promise<T>,
  ): Promise<T> => {
    try {
      room.reserve(repository, uuidOf(upload.id), body)
    } catch (error) {
      // Otherwise the connection would wait until the body is read.
      body.stream?.cancel().catch(() => {})
      throw await room.explain(error)
    }
    try {
      return await work()
    } catch (error) {
      room.settle(uuidOf(upload.id), await uploads.getSize(upload).catch(() => 0))
      throw await room.explain(error)
    }
  }
  const publish = async (
    caller: Caller,
    repository: RepositoryName,
    upload: Upload,
    digest: Digest,
    body: UploadBody,
  ) => {
    const work = async () => {
      const { size, bytes } = await receive(repository, upload, body, () =>
        uploads.commit(upload, digest, body),
      )
      // From now on the quota counts the linked blob.
      room.release(uuidOf(upload.id))
      activity.note(repository)
      await metadata.write('linkBlob', { caller, at: now(), repository, digest, size, bytes })
      if (bytes) small.remember(repository, digest, bytes)
      await damaged.heal(digest)
      return size
    }
    let published: number
    try {
      published = await locks.push(digest, work)
    } catch (error) {
      if (error instanceof RegistryError && REFUSED.includes(error.status))
        await locks.remove(digest, async () => {
          if (!metadata.blobs.isStored(digest)) await blobs.delete(digest)
        })
      throw error
    }
    // The client need not wait for this. The next start deletes what a crash leaves behind.
    uploads.cancel(upload).catch(() => {})
    return published
  }
  return { receive, publish }
}

/** How many sizes of blobs are cached. */
const SIZES_MAX = 50_000

/** The approximate overhead of a cached manifest, in bytes. */
const ENTRY_BYTES = 512

/** A cached manifest, with when it will be deleted. */
export type CachedManifest = StoredManifest & { expiry?: ExpiringManifest | undefined }

/**
 * Caches manifests by repository and reference, and sizes of blobs by repository and digest. Misses are not cached, so
 * only a change or deletion of existing content makes an entry stale, and it clears the cache.
 */
export class ReadCache {
  private readonly manifests: LRUCache<string, CachedManifest>
  private readonly sizes = new LRUCache<string, number>({ max: SIZES_MAX })

  constructor(bytesMax: number) {
    this.manifests = new LRUCache({
      maxSize: Math.max(1, bytesMax),
      maxEntrySize: Math.max(1, Math.floor(bytesMax / 8)),
      sizeCalculation: ({ bytes }) => bytes.length + ENTRY_BYTES,
    })
  }

  findManifest(repository: RepositoryName, reference: string): CachedManifest | undefined {
    return this.manifests.get(`${repository}@${reference}`)
  }

  putManifest(repository: RepositoryName, reference: string, manifest: CachedManifest): void {
    this.manifests.set(`${repository}@${reference}`, manifest)
  }

  findSize(repository: RepositoryName, digest: Digest): number | undefined {
    return this.sizes.get(`${repository}@${digest}`)
  }

  putSize(repository: RepositoryName, digest: Digest, size: number): void {
    this.sizes.set(`${repository}@${digest}`, size)
  }

  clear(): void {
    this.manifests.clear()
    this.sizes.clear()
  }
}

/** A manifest that will be deleted unless something references it. */
export interface ExpiringManifest {
  id: number
  /** Since when it has been unreferenced or untagged, in milliseconds since 1970. */
  since: number
  /** How long it is kept after that. */
  keptMs: number
}

/** The memory for recently read or pushed blobs, in bytes. */
const RECENT_BYTES_MAX = 8 * 1024 * 1024
/** The approximate overhead of an entry, in bytes. */
const BLOB_ENTRY_BYTES = 256

/** How many pushes are remembered. */
const PUSHES_MAX = 10_000

/**
 * Reads and caches small blobs, mostly configs, whose bytes are in the database. In a data folder of an older version,
 * some of them are files, which stay until the blobs are pushed again.
 */
export class SmallBlobs {
  private readonly metadata: Pick<Metadata, 'blobBytes'>
  private readonly files: BlobStore
  private readonly recent = new LRUCache<Digest, Uint8Array>({
    maxSize: RECENT_BYTES_MAX,
    sizeCalculation: (bytes) => bytes.length + BLOB_ENTRY_BYTES,
  })
  private readonly pushed = new LRUCache<string, true>({ max: PUSHES_MAX })

  /** @param files the store of larger blobs */
  constructor(metadata: Pick<Metadata, 'blobBytes'>, files: BlobStore) {
    this.metadata = metadata
    this.files = files
  }

  /** Empties the cache. A push in progress then reads its config from the database. */
  releaseMemory(): void {
    this.recent.clear()
    this.pushed.clear()
  }

  isSmall(size: number): boolean {
    return size <= SMALL_BYTES_MAX
  }

  /** Reads a small blob that some repository has. */
  async read(blob: BlobStat): Promise<Uint8Array> {
    const { digest, size } = blob
    const bytes =
      this.recent.get(digest) ?? this.metadata.blobBytes.find(digest) ?? (await this.readFile(blob))
    if (bytes.length !== size) throw new Error(`${digest} has ${bytes.length} bytes instead of ${size}`)
    this.recent.set(digest, bytes)
    return bytes
  }

  /** Reports whether the blob's bytes are stored, with the size that its row has. */
  has({ digest, size }: BlobStat): boolean | Promise<boolean> {
    if (this.isSmall(size) && (this.recent.has(digest) || this.metadata.blobBytes.has(digest))) return true
    return this.files.stat(digest).then((found) => found?.size === size)
  }

  /** Caches a small blob that was just pushed, because the manifest that follows needs its config. */
  remember(repository: RepositoryName, digest: Digest, bytes: Uint8Array): void {
    this.recent.set(digest, bytes)
    this.pushed.set(`${repository}@${digest}`, true)
  }

  /**
   * Returns the bytes of a blob that was recently pushed to this repository, without reading the database. The
   * repository may have lost it since.
   */
  findPushed(repository: RepositoryName, digest: Digest): Uint8Array | undefined {
    return this.pushed.has(`${repository}@${digest}`) ? this.recent.get(digest) : undefined
  }

  private async readFile(blob: BlobStat): Promise<Uint8Array> {
    const body = await this.files.open(blob, { start: 0, end: blob.size })
    return 'bytes' in body ? body.bytes : await Bun.file(body.file).bytes()
  }
}

/** How many damaged blobs are hidden. A pull of any other one fails while it is read. */
const HIDDEN_MAX = 100_000

/** The blobs that are recorded as damaged. They count as absent until they have good bytes again. */
export class Damaged {
  private readonly digests: Set<Digest>
  /** Those whose damaged file is still in place, so that a file of the right size proves nothing. */
  private readonly unmoved = new Set<Digest>()
  private readonly blobs: BlobStore
  private readonly metadata: Pick<Metadata, 'blobBytes' | 'write'>

  constructor(metadata: Pick<Metadata, 'blobBytes' | 'write'>, blobs: BlobStore, digests: Digest[]) {
    this.metadata = metadata
    this.blobs = blobs
    this.digests = new Set(digests)
  }

  /** Hides a blob with a damaged file until the file is moved and the blob pushed again, or until it is healed. */
  addUnmoved(digest: Digest): void {
    if (this.digests.size >= HIDDEN_MAX) return
    this.digests.add(digest)
    this.unmoved.add(digest)
  }

  /** Hides a blob whose bytes are missing, until it has good ones. */
  hide(digest: Digest): void {
    if (this.digests.size < HIDDEN_MAX) this.digests.add(digest)
  }

  /** Records that the damaged file was moved. A file that appears later comes from a push and is verified. */
  noteMoved(digest: Digest): void {
    this.unmoved.delete(digest)
  }

  /** Returns the blobs whose damaged files are still in place. */
  listUnmoved(): Digest[] {
    return [...this.unmoved]
  }

  /** Stops hiding a blob, because its bytes are good. Does no work while no blob is damaged. */
  async heal(digest: Digest): Promise<void> {
    if (!this.digests.delete(digest)) return
    this.unmoved.delete(digest)
    await this.metadata.write('noteHealed', { digests: [digest] })
  }

  /** Reports whether the blob is recorded as damaged, and no good bytes have been found since. */
  isHidden(digest: Digest): boolean {
    return this.digests.has(digest)
  }

  /** Reports whether the blob is damaged. Does no work while no blob is damaged. */
  async has(digest: Digest, size: number): Promise<boolean> {
    if (!this.digests.has(digest)) return false
    if (!(await this.hasBytes(digest, size))) return true
    this.digests.delete(digest)
    return false
  }

  /** Reports whether a blob has good bytes. A push verifies the bytes that it writes. */
  async hasBytes(digest: Digest, size: number): Promise<boolean> {
    if (this.unmoved.has(digest)) return false
    return this.metadata.blobBytes.has(digest) || (await this.blobs.stat(digest))?.size === size
  }
}

/**
 * Opens the set of damaged blobs that the database records. If one has a file, the process may have ended before the
 * damaged file was moved, so the blob stays hidden until it is verified.
 */
export async function openDamaged(metadata: Metadata, blobs: BlobStore): Promise<Damaged> {
  const digests = await metadata.damage.blobDigests()
  const damaged = new Damaged(metadata, blobs, digests)
  for (const digest of digests) if ((await blobs.stat(digest)) !== undefined) damaged.addUnmoved(digest)
  return damaged
}
