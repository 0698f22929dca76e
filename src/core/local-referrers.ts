import type { Listing, ReferrerDescriptor, Referrers, ReferrersQuery } from '../domain/registry.ts'
import type { ReferrerRow } from '../metadata/content/referrers.ts'
import type { Metadata } from '../metadata/metadata.ts'
import type { Digest } from '../oci/digest.ts'
import { readParts } from '../oci/manifest-parts.ts'
import { type RepositoryName, referrersTag } from '../oci/reference.ts'
import type { LocalOptions } from './local-options.ts'

/** A page has at most so many descriptors, */
const DESCRIPTORS_MAX = 500
/** of manifests that have together so many bytes, so that its annotations stay below what clients take (4 MiB). */
const MANIFEST_BYTES_MAX = 3 * 1024 * 1024

/** The referrers of manifests in this data folder. */
export function localReferrers({ metadata, now }: LocalOptions): Referrers {
  return {
    async list(repository, subject, query) {
      const rows = metadata.referrers.list(
        repository,
        subject,
        query.artifactType,
        query.last,
        DESCRIPTORS_MAX + 1,
      )
      const page = describe(metadata, rows)
      if (page.more) return page
      const others = describe(metadata, fromTag(metadata, repository, subject, query, now()))
      return { items: [...page.items, ...others.items], more: false }
    },
  }
}

/** Descriptors until the page is full; `more` tells that some are left. A first one is taken whatever its size. */
function describe(metadata: Metadata, rows: Iterable<ReferrerRow>): Listing<ReferrerDescriptor> {
  const items: ReferrerDescriptor[] = []
  let bytes = 0
  for (const row of rows) {
    bytes += row.size
    const isFull = items.length === DESCRIPTORS_MAX || bytes > MANIFEST_BYTES_MAX
    if (isFull && items.length > 0) return { items, more: true }
    items.push(toDescriptor(metadata, row))
  }
  return { items, more: false }
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
  query: ReferrersQuery,
  now: number,
): Iterable<ReferrerRow> {
  const list = metadata.manifests.find(repository, { tag: referrersTag(subject) }, now)
  if (list === undefined) return
  const { children } = readParts(metadata.manifests.getBytes(list))
  for (const digest of new Set(children.map((part) => part.digest))) {
    const row = metadata.manifests.findByDigest(repository, digest)
    if (row === undefined || row.subject !== null) continue
    if (query.artifactType !== undefined && row.artifactType !== query.artifactType) continue
    yield row
  }
}
