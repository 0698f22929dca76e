import type { Listing, ReferrerDescriptor, Referrers, ReferrersQuery } from '../../domain/registry.ts'
import type { ReferrerRow } from '../../metadata/content/referrers.ts'
import type { Metadata } from '../../metadata/metadata.ts'
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

/** A digest that may be a referrer's; `row` is undefined where it is none. */
interface Candidate {
  digest: Digest
  row: ReferrerRow | undefined
}

/** The referrers of manifests in this data folder, in the order of their digests' bytes. */
export function localReferrers({ metadata, now }: LocalOptions): Referrers {
  return {
    async list(repository, subject, query) {
      const { artifactType, last } = query
      const rows = await metadata.referrers.list(repository, subject, artifactType, last, DESCRIPTORS_MAX + 1)
      const own = rows.map((row) => ({ digest: row.digest, row }))
      return pageOf(metadata, merge(own, fromTag(metadata, repository, subject, query, now())))
    },
  }
}

/** Descriptors until the page is full. A first one is taken whatever its size. */
function pageOf(metadata: Metadata, candidates: Iterable<Candidate>): Listing<ReferrerDescriptor> {
  const items: ReferrerDescriptor[] = []
  let [bytes, entries] = [0, 0]
  let next: Digest | undefined
  for (const { digest, row } of candidates) {
    bytes += row?.size ?? 0
    const isFull = items.length === DESCRIPTORS_MAX || bytes > MANIFEST_BYTES_MAX
    if ((isFull && items.length > 0) || ++entries > ENTRIES_MAX) return { items, more: true, next }
    if (row) items.push(toDescriptor(metadata, row))
    next = digest
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

function toDescriptor(metadata: Metadata, row: ReferrerRow): ReferrerDescriptor {
  const { annotations } = readParts(metadata.manifests.getBytes(row))
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
  subject: Digest,
  { artifactType, last }: ReferrersQuery,
  now: number,
): Iterable<Candidate> {
  const list = metadata.manifests.find(repository, { tag: referrersTag(subject) }, now)
  if (list === undefined) return
  const { children } = readParts(metadata.manifests.getBytes(list))
  const after = last === undefined ? '' : hexOf(last)
  const digests = new Map(children.map(({ digest }) => [hexOf(digest), digest]))
  // Hexadecimal digits have the order of the bytes that they stand for.
  for (const hex of [...digests.keys()].filter((hex) => hex > after).sort()) {
    const digest = digests.get(hex) as Digest
    const row = metadata.manifests.findByDigest(repository, digest)
    const isListed = row?.subject === null && (artifactType ?? row.artifactType) === row.artifactType
    yield { digest, row: isListed ? row : undefined }
  }
}
