import type { Listing, ReferrerDescriptor, Referrers } from '../../domain/registry.ts'
import type { ReferrerRow } from '../../metadata/content/referrers.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { turn } from '../../metadata/turn.ts'
import { type Digest, hexOf } from '../../oci/digest.ts'
import { readParts } from '../../oci/manifest-parts.ts'
import { type RepositoryName, referrersTag } from '../../oci/reference.ts'
import type { LocalOptions } from './local-options.ts'

/** A page has at most so many descriptors, */
const DESCRIPTORS_MAX = 500
/** of manifests that have together so many bytes, so that its annotations stay below what clients take (4 MiB), */
const MANIFEST_BYTES_MAX = 3 * 1024 * 1024
/** found among so many entries. */
const ENTRIES_MAX = 2000

/** After so many bytes of manifests, or entries, other requests get a turn. */
const TURN_BYTES = 256 * 1024
const TURN_ENTRIES = 250

/** A digest that may be a referrer's; `row` is undefined where it is none. */
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
      const bytes = index && metadata.manifests.findBytes(index)
      const listed = bytes ? await reader.digestsAfter(bytes, last, ENTRIES_MAX + 1) : []
      return await pageOf(metadata, merge(own, fromTag(metadata, repository, listed, artifactType)))
    },
  }
}

type ReferrersOptions = Pick<LocalOptions, 'metadata' | 'reader' | 'now'>

/** Descriptors until the page is full. A first one is taken whatever its size. */
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

/** Two lists in the order of their digests' bytes, as one. */
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
  const bytes = metadata.manifests.findBytes(row)
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
 * What clients had listed under the referrers tag before they knew this API, and what has no subject of its own
 * (distribution-spec, "Enabling the Referrers API"): entries that are here, and not found by their subject.
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
