import type { Metadata } from '../database/metadata.ts'
import { readParts } from '../oci/manifest.ts'
import { type Digest, hexOf, type RepositoryName, referrersTag } from '../oci/reference.ts'
import { turn } from '../runtime/clock.ts'
import type { Releasing } from '../runtime/idle-memory.ts'
import type { ReferrerRow } from './content-reads.ts'
import { configReader, type LabelIndex, labelIndex, labelReader } from './labels.ts'
import { type BlobOptions, localBlobs, localUploads, ReadCache, SmallBlobs } from './local-blobs.ts'
import { localManifests, type ManifestOptions } from './local-manifests.ts'
import {
  type Listing,
  type Page,
  type ReferrerDescriptor,
  type Referrers,
  type Registry,
  type Uploads,
  unknownRepository,
} from './registry.ts'
import { Usage } from './usage.ts'

/** The dependencies and settings of a local registry. */
export interface LocalOptions extends BlobOptions, ManifestOptions {
  /** The size of the cache of manifests, in bytes. */
  cacheBytesMax: number
}

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
