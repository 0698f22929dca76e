import { LRUCache } from 'lru-cache'
import type { Access, Identity } from '../access/access.ts'
import { matchesPattern, parseRepositoryPattern, type RepositoryPattern } from '../access/patterns.ts'
import { ConfigError } from '../config/values.ts'
import type { Metadata } from '../database/metadata.ts'
import { isSchema1Type } from '../docker/schema1.ts'
import type { Digest } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { Manifest } from '../oci/manifest.ts'
import { isImageConfig, isIndex } from '../oci/media-type.ts'
import type { RepositoryName } from '../oci/reference.ts'
import {
  type BlobStat,
  type BlobStore,
  SMALL_BYTES_MAX,
  type UploadBody,
  type UploadStore,
} from '../storage/blob-store.ts'
import type { DigestLocks } from '../storage/digest-locks.ts'
import type { ContentReader, Schema1Pushes } from './content-reader.ts'
import type { LargePushes } from './large-pushes.ts'
import type { PushActivity, StoredManifest } from './registry.ts'
import { type GarbageWindow, type ManifestRow, untaggedMs } from './store.ts'

/** The dependencies and settings of a local registry. */
export interface LocalOptions {
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
  /** Which missing content a manifest may reference. */
  sparse: Sparse
  /** Which types of artifacts a repository accepts. */
  checkAllowed: CheckAllowed
  /** Which Docker schema 1 manifests are accepted. */
  schema1: Schema1Pushes
  reader: ContentReader
  largePushes: LargePushes
  /** Counts uploads in progress against quotas. */
  room: UploadLimits
  /** The size of the cache of manifests, in bytes. */
  cacheBytesMax: number
}

/** Counts the bytes of uploads in progress, so that they can be limited. Uploads are named by their UUIDs. */
export interface UploadLimits {
  /** Reserves room for a body. Throws DENIED. */
  reserve(repository: RepositoryName, upload: string, body: UploadBody): void
  /** Records how many bytes an upload has between two requests. */
  settle(upload: string, bytes: number): void
  /** Stops counting an upload that has ended. */
  release(upload: string): void
  /** Explains the error of a limit. */
  explain(error: unknown): Promise<unknown>
}

/** `none`; `index`: children of an index; `all`: layers and configs too. */
export type Sparse = 'none' | 'index' | 'all'

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
interface ExpiringManifest {
  id: number
  /** Since when it has been unreferenced or untagged, in milliseconds since 1970. */
  since: number
  /** How long it is kept after that. */
  keptMs: number
}

/**
 * Protects content that a push in progress may reference from garbage collection: whatever a caller with push
 * permission finds here stays for at least the grace period. Writes only if it would be deleted earlier.
 */
export function freshPushes({ metadata, access, now, garbageWindow }: LocalOptions) {
  const { graceMs } = garbageWindow
  return {
    /** Keeps a blob for the grace period. Returns whether it still exists. */
    async keepBlob(repository: RepositoryName, digest: Digest, unreferencedAt: number): Promise<boolean> {
      const at = now()
      if (at - unreferencedAt <= graceMs / 2) return true
      return await metadata.write('renewBlob', { at, repository, digest })
    },

    /** Keeps a manifest for the grace period if the caller may push. Returns whether it still exists. */
    async keepManifest(
      identity: Identity,
      repository: RepositoryName,
      { id, since, keptMs }: ExpiringManifest,
    ): Promise<boolean> {
      const at = now()
      if (since + keptMs - at >= graceMs || !access.may(identity, 'push', repository)) return true
      // Half a grace period more than promised, so that the next request need not write again.
      return await metadata.write('renewManifest', { id, since: at - keptMs + 1.5 * graceMs })
    },

    /** Returns when the manifest will be deleted; undefined if it stays. */
    expiryOf({ id, unreferencedAt, untaggedAt, untaggedDays }: ManifestRow): ExpiringManifest | undefined {
      if (unreferencedAt !== null) return { id, since: unreferencedAt, keptMs: garbageWindow.windowMs }
      const keptMs = untaggedAt === null ? undefined : untaggedMs(garbageWindow, untaggedDays)
      return untaggedAt === null || keptMs === undefined ? undefined : { id, since: untaggedAt, keptMs }
    },
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

/** Throws DENIED if the repository does not accept manifests of this type. */
type CheckAllowed = (repository: RepositoryName, manifest: Manifest) => void

/** Images, and indexes without an artifact type. */
const IMAGE = 'image'

const SETTING = 'artifacts.allow'

interface Rule {
  pattern: RepositoryPattern
  types: string[]
}

/**
 * Parses the setting. An entry is `PATTERN=TYPE`. Entries without `=` add types to the pattern before them. A type
 * is an artifact type, the media type of a config, a prefix of one followed by `*`, or `image`. A repository accepts
 * the types of all patterns that match it, and everything if none does.
 *
 * @throws Error that names the setting when it is malformed
 */
export function allowedTypes(setting: readonly string[]): CheckAllowed {
  const rules = parseRules(setting)
  return (repository, manifest) => {
    const own = rules.filter(({ pattern }) => matchesPattern(pattern, repository))
    if (own.length === 0) return
    const type = typeOf(manifest)
    const allowed = own.flatMap(({ types }) => types)
    if (allowed.some((one) => isLike(one, type))) return
    throw registryError('DENIED', `${repository} accepts only ${allowed.join(', ')}, not ${type}`, {
      detail: { name: repository, artifactType: type, allowed },
    })
  }
}

function parseRules(setting: readonly string[]): Rule[] {
  const rules: Rule[] = []
  for (const entry of setting.flatMap((text) => text.split(',')).map((text) => text.trim())) {
    const equals = entry.indexOf('=')
    if (equals >= 0) rules.push({ pattern: parsePattern(entry.slice(0, equals)), types: [] })
    const type = entry.slice(equals + 1)
    const rule = rules.at(-1)
    if (rule === undefined || type === '') {
      throw new ConfigError(`${SETTING} has the entry ${JSON.stringify(entry)}: expected PATTERN=TYPE`)
    }
    rule.types.push(type)
  }
  return rules
}

function parsePattern(text: string): RepositoryPattern {
  try {
    return parseRepositoryPattern(text)
  } catch (error) {
    throw new ConfigError(`${SETTING}: ${(error as Error).message}`)
  }
}

/** Returns the type that is checked: the artifact type, or the media type without one. */
function typeOf({ artifactType, mediaType }: Manifest): string {
  if (artifactType !== undefined) return isImageConfig(artifactType) ? IMAGE : artifactType
  return isIndex(mediaType) || isSchema1Type(mediaType) ? IMAGE : mediaType
}

function isLike(pattern: string, type: string): boolean {
  return pattern.endsWith('*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern
}
