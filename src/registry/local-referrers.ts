import type { Metadata } from '../metadata/metadata.ts'
import type { ReferrerRow } from '../metadata/referrers.ts'
import { type Digest, findDigest } from '../oci/digest.ts'
import { childDescriptors, parseManifest } from '../oci/manifest.ts'
import { type RepositoryName, referrersTag } from '../oci/reference.ts'
import type { Listing, ReferrerDescriptor, Referrers, ReferrersQuery } from './registry.ts'

/** A page has at most so many descriptors, and ends before that when so many bytes of manifests were read for it. */
const DESCRIPTORS_MAX = 500
const BYTES_READ_MAX = 4 * 1024 * 1024

/** The referrers of manifests in this data folder. */
export function localReferrers(metadata: Metadata): Referrers {
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
      return { items: [...page.items, ...fromTag(metadata, repository, subject, query)], more: false }
    },
  }
}

function describe(metadata: Metadata, rows: ReferrerRow[]): Listing<ReferrerDescriptor> {
  const items: ReferrerDescriptor[] = []
  let read = 0
  for (const row of rows) {
    if (items.length === DESCRIPTORS_MAX || read > BYTES_READ_MAX) return { items, more: true }
    items.push(toDescriptor(metadata, row))
    read += row.size
  }
  return { items, more: false }
}

function toDescriptor(metadata: Metadata, row: ReferrerRow): ReferrerDescriptor {
  const { annotations } = parseManifest(metadata.manifests.getBytes(row), row.mediaType)
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
function fromTag(
  metadata: Metadata,
  repository: RepositoryName,
  subject: Digest,
  query: ReferrersQuery,
): ReferrerDescriptor[] {
  const list = metadata.manifests.find(repository, { tag: referrersTag(subject) })
  if (list === undefined) return []
  const items: ReferrerDescriptor[] = []
  for (const child of childDescriptors(metadata.manifests.getBytes(list))) {
    const digest = typeof child.digest === 'string' ? findDigest(child.digest) : undefined
    const row = digest && metadata.manifests.find(repository, { digest })
    if (digest === undefined || row === undefined) continue
    const manifest = parseManifest(metadata.manifests.getBytes(row), row.mediaType)
    if (manifest.subject !== undefined) continue
    const { artifactType = null } = manifest
    if (query.artifactType !== undefined && artifactType !== query.artifactType) continue
    items.push(toDescriptor(metadata, { ...row, artifactType }))
  }
  return items
}
