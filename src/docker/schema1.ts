import { type RegistryError, registryError } from '../oci/error.ts'
import { objectOf } from '../oci/image-config.ts'
import { type Accept, type Manifest, MEDIA_TYPE, parseManifest, parseObject } from '../oci/manifest.ts'
import { type Digest, tryParseDigest } from '../oci/reference.ts'
import { parseSignedDocument, type SignedDocument } from './signed-document.ts'

/** A manifest of Docker schema 1 ("Image Manifest Version 2, Schema 1"). */
export interface Schema1 {
  /** The repository and the tag that it was created for. */
  name: string
  tag: string
  architecture: string
  /** Leaf first. The same blob may occur several times. */
  layers: Schema1Layer[]
}

export interface Schema1Layer {
  blobSum: Digest
  /** The JSON of the V1 image: `id`, `parent`, `throwaway` if it changes no file, and more. */
  v1Compatibility: string
}

/** Reports whether this is the type of a schema 1 manifest, signed or unsigned. */
export function isSchema1Type(mediaType: string): boolean {
  return mediaType === MEDIA_TYPE.dockerSchema1Signed || mediaType === MEDIA_TYPE.dockerSchema1
}

/** Reports whether a manifest pushed with this Content-Type, or without one, is of schema 1. */
export function isSchema1(bytes: Uint8Array, contentType: string | undefined): boolean {
  const type = contentType?.toLowerCase()
  if (type !== undefined && isSchema1Type(type)) return true
  // Clients also push it without a type of its own.
  if (type !== undefined && type !== 'application/json') return false
  const { schemaVersion, fsLayers } = parseObject(bytes)
  return schemaVersion === 1 && fsLayers !== undefined
}

/**
 * Reads a manifest of any kind, including schema 1. For schema 1 the returned type says whether it is signed, whatever
 * type it was pushed with. Throws MANIFEST_INVALID.
 */
export function readManifest(bytes: Uint8Array, contentType: string | undefined): Manifest {
  if (!isSchema1(bytes, contentType)) return parseManifest(bytes, contentType)
  const document = parseSignedDocument(bytes)
  return manifestOf(document, parseSchema1(document.payload))
}

/** Returns the JSON of the leaf's V1 image, which is the config of a schema 1 image. Throws MANIFEST_INVALID. */
export function configOf(bytes: Uint8Array): string {
  const [leaf] = parseSchema1(parseSignedDocument(bytes).payload).layers
  return leaf?.v1Compatibility ?? ''
}

/** Returns what cay stores about a schema 1 manifest. */
export function manifestOf({ signatures }: SignedDocument, { layers }: Schema1): Manifest {
  const digests = new Set(layers.map(({ blobSum }) => blobSum))
  return {
    mediaType: signatures.length > 0 ? MEDIA_TYPE.dockerSchema1Signed : MEDIA_TYPE.dockerSchema1,
    artifactType: undefined,
    subject: undefined,
    annotations: undefined,
    references: Array.from(digests, (digest) => ({ digest, role: 'layer' })),
  }
}

/** Parses a schema 1 manifest without its signatures. Throws MANIFEST_INVALID. */
export function parseSchema1(payload: Uint8Array): Schema1 {
  const { schemaVersion, name, tag = '', architecture = '', fsLayers, history } = parseObject(payload)
  if (schemaVersion !== 1) throw invalid('schemaVersion is not 1, which Docker schema 1 requires')
  if (typeof name !== 'string') throw invalid('the manifest has no name')
  if (typeof tag !== 'string' || typeof architecture !== 'string') {
    throw invalid('tag or architecture is not a string')
  }
  if (!Array.isArray(fsLayers) || fsLayers.length === 0) throw invalid('fsLayers is not a list of layers')
  if (!Array.isArray(history) || history.length !== fsLayers.length) {
    throw invalid(`history must have ${fsLayers.length} entries, as many as fsLayers`)
  }
  const layers = fsLayers.map((layer, index) => readLayer(layer, history[index], index))
  return { name, tag, architecture, layers }
}

/** Formats a manifest as JSON, in the same way as Docker's own registry. */
export function formatSchema1({ name, tag, architecture, layers }: Schema1): string {
  const document = {
    schemaVersion: 1,
    name,
    tag,
    architecture,
    fsLayers: layers.map(({ blobSum }) => ({ blobSum })),
    history: layers.map(({ v1Compatibility }) => ({ v1Compatibility })),
  }
  return JSON.stringify(document, undefined, 3)
}

function readLayer(layer: unknown, history: unknown, index: number): Schema1Layer {
  const { blobSum } = objectOf(layer)
  const digest = typeof blobSum === 'string' ? tryParseDigest(blobSum) : undefined
  if (digest === undefined) throw invalid(`fsLayers[${index}].blobSum is not a sha256 or sha512 digest`)
  const { v1Compatibility } = objectOf(history)
  if (typeof v1Compatibility !== 'string') throw invalid(`history[${index}].v1Compatibility is not a string`)
  return { blobSum: digest, v1Compatibility }
}

function invalid(message: string): RegistryError {
  return registryError('MANIFEST_INVALID', message)
}

/** The properties of a client that determine which manifest it is sent. */
export interface ManifestClient {
  /** The `Accept` header, with several lines joined. */
  accept: string | null
  userAgent(): string | null
}

/**
 * When images are converted. `auto` converts for clients that ask for schema 1 by name and for Docker before 1.10,
 * which reads nothing else. `always` also converts for clients that accept anything or send no Accept header.
 */
export type Schema1Pulls = 'auto' | 'always' | 'never'

/** `must`: the client reads only schema 1. `may`: it accepts schema 1 as well as what is stored. */
export type Schema1Need = 'must' | 'may' | 'none'

const { dockerSchema1: UNSIGNED, dockerSchema1Signed: SIGNED } = MEDIA_TYPE

/** The types by which clients ask for schema 1. The last one is not specific to it. */
const TYPES: readonly string[] = [SIGNED, UNSIGNED, 'application/json']

/** Returns whether a client that does not accept what is stored needs schema 1. */
export function schema1Need(setting: Schema1Pulls, accept: Accept, client: ManifestClient): Schema1Need {
  if (setting === 'never') return 'none'
  const { types } = accept
  if (types.has(SIGNED) || types.has(UNSIGNED)) return namesOthers(accept) ? 'may' : 'must'
  if (readsOnlySchema1(client)) return 'must'
  return setting === 'always' && !namesOthers(accept) ? 'may' : 'none'
}

function namesOthers({ types, ranges }: Accept): boolean {
  return ranges.size > 0 || [...types].some((type) => !TYPES.includes(type))
}

/** Reports whether a client reads schema 1 only with a signature, as Docker does. */
export function readsOnlySigned({ types }: Accept, client: ManifestClient): boolean {
  return types.has(SIGNED) || readsOnlySchema1(client)
}

function readsOnlySchema1(client: ManifestClient): boolean {
  return isOlder(dockerVersion(client.userAgent()), 1, 10)
}

/** Reports whether a client accepts schema 1 only without a signature. Docker itself never does. */
export function wantsUnsigned({ types }: Accept): boolean {
  return types.has(UNSIGNED) && !types.has(SIGNED)
}

/** A version of the Docker engine, such as `docker/1.9.1 go/go1.4.2 ...` in its User-Agent. */
type DockerVersion = { major: number; minor: number }

/** Returns the version of the Docker engine, or undefined for every other client. */
export function dockerVersion(userAgent: string | null): DockerVersion | undefined {
  const match = /^docker\/(\d{1,4})\.(\d{1,4})(?!\d)/.exec(userAgent ?? '')
  return match ? { major: Number(match[1]), minor: Number(match[2]) } : undefined
}

/** Reports whether this version is older than `major.minor`. */
export function isOlder(version: DockerVersion | undefined, major: number, minor: number): boolean {
  if (version === undefined) return false
  return version.major < major || (version.major === major && version.minor < minor)
}
