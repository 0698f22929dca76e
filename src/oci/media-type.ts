/** The media types whose content cay reads. All others are stored and served in the same way. */
export const MEDIA_TYPE = {
  ociManifest: 'application/vnd.oci.image.manifest.v1+json',
  ociIndex: 'application/vnd.oci.image.index.v1+json',
  ociArtifact: 'application/vnd.oci.artifact.manifest.v1+json',
  dockerManifest: 'application/vnd.docker.distribution.manifest.v2+json',
  dockerList: 'application/vnd.docker.distribution.manifest.list.v2+json',
  dockerSchema1: 'application/vnd.docker.distribution.manifest.v1+json',
  dockerSchema1Signed: 'application/vnd.docker.distribution.manifest.v1+prettyjws',
} as const

/** Reports whether this is the media type of an OCI index or a Docker manifest list. */
export function isIndex(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.ociIndex || mediaType === MEDIA_TYPE.dockerList
}

/** The media types of the config of an image (image-spec, "Image Configuration"; Docker's schema 2). */
const IMAGE_CONFIGS: readonly string[] = [
  'application/vnd.oci.image.config.v1+json',
  'application/vnd.docker.container.image.v1+json',
]

/** Reports whether this is the media type of an image's config, which is read for labels and conversions. */
export function isImageConfig(mediaType: string): boolean {
  return IMAGE_CONFIGS.includes(mediaType)
}

/** RFC 6838, 4.2: a type and a subtype of restricted names. */
const GRAMMAR = /^[a-zA-Z0-9][\w!#$&^.+-]{0,126}\/[a-zA-Z0-9][\w!#$&^.+-]{0,126}$/

/** Reports whether this is a media type without parameters. */
export function isMediaType(text: string): boolean {
  return GRAMMAR.test(text)
}

/** Returns the media type of a Content-Type header without parameters, or undefined if it is malformed. */
export function parseContentType(header: string): string | undefined {
  const type = (header.split(';', 1)[0] ?? '').trim()
  return isMediaType(type) ? type : undefined
}

/**
 * Reports whether this is the media type of a layer that a registry need not hold: OCI's non-distributable layers
 * (image-spec, "Non-Distributable Layers") and Docker's foreign layers.
 */
export function isNonDistributable(mediaType: string): boolean {
  return (
    mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.v1.') ||
    mediaType.startsWith('application/vnd.docker.image.rootfs.foreign.diff.')
  )
}
