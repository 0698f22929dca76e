import type { ManifestDescription } from '../../../core/content/description.ts'
import type { ManifestSummary } from '../../../core/content/manifests.ts'
import type { Referrer } from '../../../core/content/referrers-tree.ts'
import type { Part } from '../../../oci/manifest-parts.ts'
import { omitAbsent } from '../omit-absent.ts'

/** Returns the fields that lists and descriptions share. */
export function toMembers<T extends Omit<ManifestSummary, 'restorableUntil'>>({
  size: bytes,
  ...manifest
}: T) {
  return omitAbsent({ ...manifest, bytes })
}

/** Converts the description of a manifest to a response. */
export function toManifest(manifest: ManifestDescription) {
  const { config, layers, history, manifests, image } = manifest
  return omitAbsent({
    ...toMembers(manifest),
    labels: image?.labels ?? {},
    config: config && toPart(config),
    layers: layers.map(toPart),
    history: history.map(omitAbsent),
    manifests: manifests.map(toPart),
    image: image && omitAbsent({ ...image, platform: image.platform && omitAbsent(image.platform) }),
  })
}

/** Converts a referrer and its referrers, down to the depth of the schema. */
export function toReferrer({ size: bytes, ...referrer }: Referrer, depth: number): object {
  const referrers = depth === 1 ? undefined : referrer.referrers.map((one) => toReferrer(one, depth - 1))
  return omitAbsent({ ...referrer, bytes, referrers })
}

function toPart<T extends Part>({ size: bytes, annotations, platform, ...part }: T) {
  const isAnnotated = Object.keys(annotations).length > 0
  return omitAbsent({
    ...part,
    bytes,
    annotations: isAnnotated ? annotations : undefined,
    platform: platform && omitAbsent(platform),
  })
}
