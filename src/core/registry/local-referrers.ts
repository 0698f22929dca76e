import type { Listing, ReferrerDescriptor, Referrers } from '../../domain/registry.ts'
import type { ReferrerRow } from '../../metadata/content/manifests/referrers.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { type Digest, hexOf } from '../../oci/digest.ts'
import { readParts } from '../../oci/manifest-parts.ts'
import { type RepositoryName, referrersTag } from '../../oci/reference.ts'
import { turn } from '../../turn.ts'
import type { LocalOptions } from './local-options.ts'

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
export function localReferrers({ metadata, reader, now }: ReferrersOptions): Referrers {
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
