import { type RegistryError, registryError } from './error.ts'
import {
  bytesOf,
  type HistoryEntry,
  hasMoreItems,
  isObject,
  type Json,
  objectOf,
  objectsOf,
  type Platform,
  parseLeniently,
  platformOf,
  readV1History,
  stringOf,
  textsOf,
} from './image-config.ts'
import { type Digest, tryParseDigest } from './reference.ts'

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

/** What cay reads of a manifest. The bytes are stored and served unchanged. */
export interface Manifest {
  mediaType: string
  /** As in the referrers API: `artifactType`, or for an image manifest the config's media type. */
  artifactType: string | undefined
  subject: Digest | undefined
  annotations: Record<string, string> | undefined
  /** What the manifest references, without the subject. Each digest occurs once. */
  references: ManifestReference[]
}

export interface ManifestReference {
  digest: Digest
  role: ReferenceRole
}

/** `child`: an entry of an index (also a blob, in BuildKit's old caches). `foreign`: need not be stored here. */
export type ReferenceRole = 'config' | 'layer' | 'blob' | 'child' | 'foreign'

const IMAGES: readonly string[] = [MEDIA_TYPE.ociManifest, MEDIA_TYPE.dockerManifest]

/**
 * Reads a manifest of any media type: a JSON object with well-formed descriptors (image-spec, "Image Manifest" and
 * "Image Index"). The media types of its parts are not restricted. Throws MANIFEST_INVALID.
 *
 * @param contentType the pushed Content-Type without parameters, or undefined to use the manifest's own `mediaType`
 */
export function parseManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  const document = parseObject(bytes)
  const mediaType = mediaTypeOf(document, contentType)
  checkShape(document, mediaType)
  const config = optionalDescriptor(document.config, 'config')
  const found = new Map<Digest, ReferenceRole>()
  const add = (descriptor: Descriptor, role: ReferenceRole) => {
    const known = found.get(descriptor.digest)
    if (known === undefined || known === 'foreign') found.set(descriptor.digest, role)
  }
  if (config) add(config, 'config')
  for (const layer of descriptors(document.layers, 'layers')) {
    add(layer, isNonDistributable(layer.mediaType) ? 'foreign' : 'layer')
  }
  for (const blob of descriptors(document.blobs, 'blobs')) add(blob, 'blob')
  for (const child of descriptors(document.manifests, 'manifests')) add(child, 'child')
  return {
    mediaType,
    artifactType: artifactTypeOf(document, mediaType, config),
    subject: optionalDescriptor(document.subject, 'subject')?.digest,
    annotations: annotationsOf(document.annotations),
    references: Array.from(found, ([digest, role]) => ({ digest, role })),
  }
}

/** A reference to content (image-spec, "Content Descriptors"). */
interface Descriptor {
  mediaType: string
  digest: Digest
  /** Bytes. */
  size: number
}

/** The largest manifest, in bytes. */
export const MANIFEST_BYTES_MAX = 64 * 1024 * 1024

/** How many members and entries a pushed manifest may have. They are parsed in about 10 ms. */
const PUSHED_ITEMS_MAX = 50_000

/** Throws MANIFEST_INVALID for a manifest that would take too long to parse. */
export function checkItems(bytes: Uint8Array): void {
  if (!hasMoreItems(bytes, PUSHED_ITEMS_MAX)) return
  throw invalid(`the manifest has more than ${PUSHED_ITEMS_MAX} members and entries`)
}

/** How many entries one list of a manifest may have. */
const ITEMS_MAX = 100_000
const LISTS = ['layers', 'manifests', 'blobs', 'fsLayers', 'history']

/** Parses a manifest as a JSON object. Every reader uses this. Throws MANIFEST_INVALID, also if it is too large. */
export function parseObject(bytes: Uint8Array): Json {
  if (bytes.length > MANIFEST_BYTES_MAX) {
    throw invalid(`the manifest has ${bytes.length} bytes; the maximum is ${MANIFEST_BYTES_MAX}`)
  }
  let document: unknown
  try {
    document = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (cause) {
    throw registryError('MANIFEST_INVALID', 'the manifest is not JSON in UTF-8', { cause })
  }
  if (!isObject(document)) throw invalid('the manifest is not a JSON object')
  for (const name of LISTS) {
    const list = document[name]
    if (Array.isArray(list) && list.length > ITEMS_MAX) {
      throw invalid(`${name} has ${list.length} entries; the maximum is ${ITEMS_MAX}`)
    }
  }
  return document
}

function mediaTypeOf(document: Json, contentType: string | undefined): string {
  const own = document.mediaType
  if (own !== undefined && typeof own !== 'string') throw invalid('mediaType is not a string')
  if (contentType === undefined) {
    // Each pull sends it as the Content-Type, so it must fit into a header.
    if (own && !isMediaType(own)) throw invalid(`mediaType ${shown(own)} is not a media type`)
    if (own) return own
    throw invalid('the request has no Content-Type and the manifest has no mediaType: send one of them')
  }
  if (own && own.toLowerCase() !== contentType.toLowerCase()) {
    throw invalid(
      `the Content-Type is ${contentType}, but the manifest's mediaType is ${JSON.stringify(own)}`,
    )
  }
  return contentType
}

/** Refuses an index that is also an image, because clients would disagree about it (CVE-2021-41190). */
function checkShape(document: Json, mediaType: string): void {
  if (document.schemaVersion === 1 && 'fsLayers' in document) {
    throw invalid(`this is a Docker schema 1 manifest, but its type is given as ${mediaType}`)
  }
  const [isImage, isList] = [IMAGES.includes(mediaType), isIndex(mediaType)]
  if ((isImage || isList) && document.schemaVersion !== 2) throw invalid('schemaVersion is not 2')
  if (isList && ('layers' in document || 'config' in document)) {
    throw invalid('an index must have "manifests" and no "config" or "layers"')
  }
  if (isImage && 'manifests' in document) {
    throw invalid('an image manifest must have "config" and "layers" and no "manifests"')
  }
  if (isImage && !isObject(document.config)) throw invalid('the manifest has no config')
}

function artifactTypeOf(
  document: Json,
  mediaType: string,
  config: Descriptor | undefined,
): string | undefined {
  const own = document.artifactType
  if (own !== undefined && typeof own !== 'string') throw invalid('artifactType is not a string')
  if (own) return own
  return IMAGES.includes(mediaType) ? config?.mediaType : undefined
}

function annotationsOf(value: unknown): Record<string, string> | undefined {
  if (value === undefined || value === null) return undefined
  if (!isObject(value)) throw invalid('annotations is not an object')
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw invalid(`annotation ${shown(key)} is not a string`)
  }
  return value as Record<string, string>
}

/** Parses an optional list of descriptors. Throws MANIFEST_INVALID, which names `at`. */
function descriptors(value: unknown, at: string): Descriptor[] {
  if (value === undefined || value === null) return []
  if (!Array.isArray(value)) throw invalid(`${at} is not an array`)
  return value.map((entry, index) => descriptor(entry, `${at}[${index}]`))
}

/** Parses an optional descriptor. Throws MANIFEST_INVALID, which names `at`. */
function optionalDescriptor(value: unknown, at: string): Descriptor | undefined {
  return value === undefined || value === null ? undefined : descriptor(value, at)
}

/** Parses a descriptor: mediaType, digest and a size of 0 or more are required (image-spec, "Content Descriptors"). */
function descriptor(value: unknown, at: string): Descriptor {
  if (!isObject(value)) throw invalid(`${at} is not a descriptor`)
  const { mediaType, digest, size } = value
  if (typeof mediaType !== 'string' || mediaType === '') throw invalid(`${at} has no mediaType`)
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(`${at}.size is not a number of bytes`)
  }
  const parsed = typeof digest === 'string' ? tryParseDigest(digest) : undefined
  if (parsed === undefined) throw invalid(`${at}.digest ${shown(digest)} is not a sha256 or sha512 digest`)
  return { mediaType, digest: parsed, size }
}

function shown(value: unknown): string {
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? '[...]' : '{...}'
  return (JSON.stringify(value) ?? String(value)).slice(0, 160)
}

function invalid(message: string): RegistryError {
  return registryError('MANIFEST_INVALID', message)
}

/** A descriptor in a manifest (image-spec, "Content Descriptors"), for people. */
export interface Part {
  digest: Digest
  mediaType: string
  /** Bytes, or 0 when the manifest does not say (Docker schema 1). */
  size: number
  artifactType: string | undefined
  annotations: Record<string, string>
  platform: Platform | undefined
}

/** The parts of a manifest of any kind. */
export interface ManifestParts {
  /** The whole JSON. */
  document: Json
  artifactType: string | undefined
  config: Part | undefined
  /** The layers, base first, or the blobs of an artifact. */
  layers: Part[]
  /** The entries of an index. */
  children: Part[]
  subject: Part | undefined
  annotations: Record<string, string> | undefined
  /** For Docker schema 1, which has no config: one entry for each layer, oldest first. */
  history: HistoryEntry[]
  /** For Docker schema 1: the V1 image of the topmost layer, which takes the place of a config. */
  image: Json | undefined
}

/** Splits a stored manifest into its parts. Malformed parts are left out, so this never fails. */
export function readParts(bytes: Uint8Array): ManifestParts {
  const document = findObject(bytes)
  const isSchema1 = document.schemaVersion === 1 && Array.isArray(document.fsLayers)
  const v1Image = ({ v1Compatibility }: Json) => parseLeniently(stringOf(v1Compatibility) ?? '')
  const images = isSchema1 ? objectsOf(document.history).map(v1Image).reverse() : []
  return {
    document,
    artifactType: stringOf(document.artifactType),
    config: partOf(document.config),
    layers: isSchema1
      ? partsOf(objectsOf(document.fsLayers).map(layerOfSchema1).reverse())
      : partsOf(document.layers ?? document.blobs),
    children: partsOf(document.manifests),
    subject: partOf(document.subject),
    annotations: document.annotations == null ? undefined : textsOf(document.annotations),
    history: images.map(readV1History),
    image: images.at(-1),
  }
}

/** Returns an index's entry for an operating system and architecture, preferring one without a variant. */
export function findPlatform(
  { children }: ManifestParts,
  { os, architecture }: Pick<Platform, 'os' | 'architecture'>,
): Part | undefined {
  const fitting = children.filter(
    ({ platform }) => platform?.os === os && platform.architecture === architecture,
  )
  return fitting.find(({ platform }) => platform?.variant === undefined) ?? fitting[0]
}

/** Returns the entries of an index without the attestations that BuildKit adds. */
export function imageChildren({ children }: ManifestParts): Digest[] {
  return children.flatMap(({ digest, annotations }) =>
    Object.hasOwn(annotations, 'vnd.docker.reference.type') ? [] : digest,
  )
}

function findObject(bytes: Uint8Array): Json {
  try {
    return parseObject(bytes)
  } catch {
    return {}
  }
}

function partsOf(value: unknown): Part[] {
  return objectsOf(value).flatMap((one) => partOf(one) ?? [])
}

function partOf(value: unknown): Part | undefined {
  const { digest, mediaType, size, artifactType, annotations, platform } = objectOf(value)
  const named = tryParseDigest(stringOf(digest) ?? '')
  if (named === undefined) return undefined
  return {
    digest: named,
    mediaType: stringOf(mediaType) ?? 'application/octet-stream',
    size: bytesOf(size),
    artifactType: stringOf(artifactType),
    annotations: textsOf(annotations),
    platform: platformOf(objectOf(platform)),
  }
}

function layerOfSchema1({ blobSum }: Json): Json {
  return { digest: blobSum, mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }
}
