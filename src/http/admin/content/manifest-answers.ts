import type { ManifestSummary } from '../../../core/content/manifests.ts'
import type { ManifestDescription } from '../../../core/description.ts'
import type { Referrer } from '../../../core/referrers-tree.ts'
import type { ImageConfig } from '../../../oci/image-config.ts'
import type { Part } from '../../../oci/manifest-parts.ts'
import { present } from '../present.ts'
import { timeOf, timeOrNot } from '../schemas.ts'

/** What a list and a description tell of a manifest. */
export function toMembers(row: Omit<ManifestSummary, 'restorableUntil'> & Partial<ManifestSummary>) {
  const { digest, kind, mediaType, artifactType, size, subject, tags } = row
  return present({
    digest,
    kind,
    mediaType,
    artifactType,
    bytes: size,
    subject,
    tags,
    pushedAt: timeOf(row.pushedAt),
    unreferencedAt: timeOrNot(row.unreferencedAt),
    untaggedAt: timeOrNot(row.untaggedAt),
    deletedAt: timeOrNot(row.deletedAt),
    restorableUntil: timeOrNot(row.restorableUntil),
  })
}

/** A manifest in all its parts. */
export function toManifest(manifest: ManifestDescription) {
  const { totalBytes, config, layers, history, manifests, image, annotations, isCut } = manifest
  return present({
    ...toMembers(manifest),
    totalBytes,
    annotations,
    isCut,
    labels: image?.labels ?? {},
    config: config && toPart(config),
    layers: layers.map(({ createdBy, isHere, ...part }) => present({ ...toPart(part), createdBy, isHere })),
    history: history.map(({ isEmpty: _, ...entry }) => present(entry)),
    manifests: manifests.map(({ kind, platform, totalBytes: total, isHere, ...part }) =>
      present({
        ...toPart(part),
        kind,
        totalBytes: total,
        isHere,
        platform: platform && present(platform),
      }),
    ),
    image: image && toImage(image),
  })
}

/** A referrer with its own, as deep as the schema goes. */
export function toReferrer(referrer: Referrer, depth: number): object {
  const { digest, mediaType, size, artifactType, annotations, kind, tag, referrers } = referrer
  return present({
    digest,
    mediaType,
    bytes: size,
    artifactType,
    annotations,
    kind,
    tag,
    referrers: depth === 1 ? undefined : referrers.map((one) => toReferrer(one, depth - 1)),
  })
}

function toPart({ digest, mediaType, size, artifactType, annotations }: Omit<Part, 'platform'>) {
  const isAnnotated = Object.keys(annotations).length > 0
  return present({
    digest,
    mediaType,
    bytes: size,
    artifactType,
    annotations: isAnnotated ? annotations : undefined,
  })
}

function toImage({ labels: _, history: __, platform, ...image }: ImageConfig) {
  return present({ ...image, platform: platform && present(platform) })
}
