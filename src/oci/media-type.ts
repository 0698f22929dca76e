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

/** Reports whether a registry need not hold layers of this type: non-distributable (OCI) or foreign (Docker). */
export function isNonDistributable(mediaType: string): boolean {
  return (
    mediaType.startsWith('application/vnd.oci.image.layer.nondistributable.v1.') ||
    mediaType.startsWith('application/vnd.docker.image.rootfs.foreign.diff.')
  )
}

/** A parsed `Accept` header (RFC 9110, 12.5.1). Weights are ignored, except that `q=0` excludes a type. */
export interface Accept {
  /** The complete types, in lower case. */
  types: ReadonlySet<string>
  /** The `type` of each `type/*`. */
  ranges: ReadonlySet<string>
  /** Whether `*`/`*` is among them. */
  any: boolean
}

/** The most types that are read. No client sends this many. */
const TYPES_MAX = 100

/** Parses an `Accept` header, with several lines joined by commas. Malformed entries are skipped. */
export function parseAccept(header: string | null): Accept {
  const types = new Set<string>()
  const ranges = new Set<string>()
  let any = false
  for (const entry of (header ?? '').split(',', TYPES_MAX)) {
    const [name = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase())
    if (name === '' || parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter))) continue
    if (name === '*/*') any = true
    else if (name.endsWith('/*')) ranges.add(name.slice(0, -2))
    else types.add(name)
  }
  return { types, ranges, any }
}

/** Reports whether a type is accepted by name, by `type/*`, or by a wildcard among other types. */
export function accepts({ types, ranges, any }: Accept, mediaType: string): boolean {
  const type = mediaType.toLowerCase()
  if (types.has(type) || (any && types.size + ranges.size > 0)) return true
  return ranges.size > 0 && ranges.has(type.slice(0, type.indexOf('/')))
}
