import { type Digest, tryParseDigest } from './digest.ts'
import { type HistoryEntry, type Platform, platformOf, readV1History } from './image-config.ts'
import { bytesOf, type Json, objectOf, objectsOf, parseLeniently, stringOf, textsOf } from './lenient-json.ts'
import { parseObject } from './manifest.ts'

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

function v1Image({ v1Compatibility }: Json): Json {
  return parseLeniently(stringOf(v1Compatibility) ?? '')
}

function layerOfSchema1({ blobSum }: Json): Json {
  return { digest: blobSum, mediaType: 'application/vnd.docker.image.rootfs.diff.tar.gzip' }
}
