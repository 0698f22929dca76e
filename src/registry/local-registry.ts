import type { Caller } from '../access/access.ts'
import type { Metadata } from '../database/metadata.ts'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import { readParts } from '../oci/manifest.ts'
import type { ByteRange } from '../oci/range.ts'
import { type RepositoryName, referrersTag } from '../oci/reference.ts'
import type { Releasing } from '../runtime/idle-memory.ts'
import { turn } from '../runtime/turn.ts'
import type { Upload, UploadBody } from '../storage/blob-store.ts'
import { uuidOf } from '../storage/upload-files.ts'
import { configReader, type LabelIndex, labelIndex, labelReader } from './labels.ts'
import { localManifests } from './local-manifests.ts'
import { freshPushes, type LocalOptions, ReadCache, SmallBlobs } from './local-parts.ts'
import type { ReferrerRow } from './manifest-reads.ts'
import {
  type Blobs,
  type Listing,
  type Page,
  type ReferrerDescriptor,
  type Referrers,
  type Registry,
  type Uploads,
  unknownIn,
  unknownRepository,
} from './registry.ts'
import { Usage } from './usage.ts'

export type LocalRegistry = Registry & Releasing & { uploads: Uploads; usage: Usage; labels: LabelIndex }

/** A registry whose content is in this data folder. */
export function localRegistry(options: LocalOptions): LocalRegistry {
  const { metadata, access, reader } = options
  const cache = new ReadCache(options.cacheBytesMax)
  metadata.onStale('content', () => cache.clear())
  const small = new SmallBlobs(metadata, options.blobs)
  const blobs = localBlobs(options, cache, small)
  const readLabels = labelReader(metadata, configReader(blobs, small))
  return {
    releaseMemory() {
      cache.clear()
      small.releaseMemory()
    },
    usage: new Usage(metadata, options.now),
    labels: labelIndex({ metadata, reader, readLabels }),
    manifests: localManifests(options, cache, readLabels),
    blobs,
    uploads: localUploads(options, small),
    referrers: localReferrers(options),
    tags: {
      async list(repository, page) {
        return await listing(page, async (limit) => {
          const found = await metadata.tags.list(repository, page.last, limit, options.now())
          if (found === undefined) throw unknownRepository(repository)
          return found
        })
      },
    },
    repositories: {
      async list(identity, page) {
        const found = metadata.repositories.list(access.pullable(identity), page.last, page.limit)
        return { items: found.rows.map(({ name }) => name), more: found.next !== undefined, next: found.next }
      },
    },
  }
}

/** Reads one more entry than the page has, to know whether there are more. */
async function listing<T>({ limit }: Page, read: (limit: number) => Promise<T[]>): Promise<Listing<T>> {
  const items = await read(limit + 1)
  return { items: items.slice(0, limit), more: limit > 0 && items.length > limit }
}

/** The blobs of this data folder, by the repositories that link them. */
function localBlobs(options: LocalOptions, cache: ReadCache, small: SmallBlobs): Blobs {
  const { metadata, blobs, access, now, damaged, activity } = options
  const { keepBlob } = freshPushes(options)
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
        (unreferencedAt === null || (await keepBlob(repository, digest, unreferencedAt)))
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

/** The maximum descriptors of a page. */
const DESCRIPTORS_MAX = 500
/** The maximum total size of their manifests in bytes, so that a page stays within the 4 MiB that clients accept. */
const MANIFEST_BYTES_MAX = 3 * 1024 * 1024
/** The maximum entries that are examined for a page. */
const ENTRIES_MAX = 2000

/** After this many bytes of manifests, or entries, other requests get a turn. */
const TURN_BYTES = 256 * 1024
const TURN_ENTRIES = 250

/** A digest that may be a referrer. `row` is undefined if it is not. */
interface Candidate {
  digest: Digest
  row: ReferrerRow | undefined
}

/** The referrers of manifests in this data folder, in the order of their digests' bytes. */
function localReferrers({ metadata, reader, now }: ReferrersOptions): Referrers {
  return {
    async list(repository, subject, query) {
      const { artifactType, last } = query
      const rows = await metadata.referrers.list(repository, subject, artifactType, last, DESCRIPTORS_MAX + 1)
      const own = rows.map((row) => ({ digest: row.digest, row }))
      const index = metadata.manifests.find(repository, { tag: referrersTag(subject) }, now())
      const bytes = index && metadata.manifests.findBytes(index.storedAs)
      const listed = bytes ? await reader.digestsAfter(bytes, last, ENTRIES_MAX + 1) : []
      return await pageOf(metadata, merge(own, fromTag(metadata, repository, listed, artifactType)))
    },
  }
}

type ReferrersOptions = Pick<LocalOptions, 'metadata' | 'reader' | 'now'>

/** Collects descriptors until the page is full. The first one is included whatever its size. */
async function pageOf(
  metadata: Metadata,
  candidates: Iterable<Candidate>,
): Promise<Listing<ReferrerDescriptor>> {
  const items: ReferrerDescriptor[] = []
  let [bytes, entries, bytesInTurn] = [0, 0, 0]
  let next: Digest | undefined
  for (const { digest, row } of candidates) {
    const size = row?.size ?? 0
    bytes += size
    const isFull = items.length === DESCRIPTORS_MAX || bytes > MANIFEST_BYTES_MAX
    if ((isFull && items.length > 0) || ++entries > ENTRIES_MAX) return { items, more: true, next }
    const descriptor = row && toDescriptor(metadata, row)
    if (descriptor) items.push(descriptor)
    next = digest
    bytesInTurn += size
    if (bytesInTurn <= TURN_BYTES && entries % TURN_ENTRIES > 0) continue
    bytesInTurn = 0
    await turn()
  }
  return { items, more: false }
}

/** Merges two lists that are ordered by the bytes of their digests. */
function* merge(rows: Candidate[], others: Iterable<Candidate>): Iterable<Candidate> {
  let at = 0
  for (const other of others) {
    for (let row = rows[at]; row && hexOf(row.digest) < hexOf(other.digest); row = rows[++at]) yield row
    yield other
  }
  yield* rows.slice(at)
}

/** Returns undefined if the manifest was removed since its row was read. */
function toDescriptor(metadata: Metadata, row: ReferrerRow): ReferrerDescriptor | undefined {
  const bytes = metadata.manifests.findBytes(row.digest)
  if (bytes === undefined) return undefined
  const { annotations } = readParts(bytes)
  const { mediaType, digest, size, artifactType } = row
  return {
    mediaType,
    digest,
    size,
    ...(artifactType === null ? {} : { artifactType }),
    ...(annotations === undefined ? {} : { annotations }),
  }
}

/**
 * Yields the entries of the referrers tag, where clients without the referrers API list referrers (distribution-spec,
 * "Enabling the Referrers API"). Only stored manifests without a subject count; the others are found by their subject.
 */
function* fromTag(
  metadata: Metadata,
  repository: RepositoryName,
  listed: Digest[],
  artifactType: string | undefined,
): Iterable<Candidate> {
  for (const digest of listed) {
    const row = metadata.manifests.findByDigest(repository, digest)
    const isListed = row?.subject === null && (artifactType ?? row.artifactType) === row.artifactType
    yield { digest, row: isListed ? row : undefined }
  }
}

/** A quota is full (403), or the name has become that of an upstream (405). */
const REFUSED = [403, 405]

/** The uploads of this data folder. */
function localUploads(options: LocalOptions, small: SmallBlobs): Uploads {
  const { uploads, room, activity } = options
  const { receive, publish } = blobPublisher(options, small)
  const get = async (repository: RepositoryName, id: string): Promise<Upload> => {
    const upload = await uploads.find(repository, id)
    if (upload !== undefined) return upload
    throw registryError(
      'BLOB_UPLOAD_UNKNOWN',
      `${repository} has no upload ${JSON.stringify(id)}: start a new one`,
    )
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
  { metadata, blobs, uploads, locks, damaged, room, activity, now }: LocalOptions,
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
  /** Removes the bytes of a blob whose link was refused, unless another repository has it. */
  const removeRefused = (digest: Digest) =>
    locks.remove(digest, async () => {
      if (!metadata.blobs.isStored(digest)) await blobs.delete(digest)
    })
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
      if (error instanceof RegistryError && REFUSED.includes(error.status)) await removeRefused(digest)
      throw error
    }
    // The client need not wait for this. The next start deletes what a crash leaves behind.
    uploads.cancel(upload).catch(() => {})
    return published
  }
  return { receive, publish }
}
