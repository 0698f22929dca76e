import { createHash, randomBytes } from 'node:crypto'

export const OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
export const OCI_INDEX = 'application/vnd.oci.image.index.v1+json'
export const DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
export const DOCKER_LIST = 'application/vnd.docker.distribution.manifest.list.v2+json'
export const OCI_ARTIFACT = 'application/vnd.oci.artifact.manifest.v1+json'
export const OCI_CONFIG = 'application/vnd.oci.image.config.v1+json'
export const OCI_LAYER = 'application/vnd.oci.image.layer.v1.tar+gzip'

export interface Descriptor {
  mediaType: string
  digest: string
  size: number
  [field: string]: unknown
}

/** Bytes with their digest. */
export interface Named {
  bytes: Uint8Array<ArrayBuffer>
  digest: string
}

export function digestOf(bytes: Uint8Array, algorithm: 'sha256' | 'sha512' = 'sha256'): string {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}`
}

export function named(content: string | Uint8Array): Named {
  const bytes = typeof content === 'string' ? new TextEncoder().encode(content) : Uint8Array.from(content)
  return { bytes, digest: digestOf(bytes) }
}

export function randomBlob(length: number): Named {
  return named(randomBytes(length))
}

export function json(value: unknown): Named {
  return named(JSON.stringify(value))
}

export function descriptor({ bytes, digest }: Named, mediaType: string, more: object = {}): Descriptor {
  return { mediaType, digest, size: bytes.length, ...more }
}

/** The empty config of an artifact (image-spec, "Guidance for an Empty Descriptor"). */
export const EMPTY = named('{}')

/** Returns an OCI image manifest of a config and layers; `more` are additional fields. */
export function imageManifest(config: Named, layers: Named[], more: object = {}): Named {
  return json({
    schemaVersion: 2,
    mediaType: OCI_MANIFEST,
    config: descriptor(config, OCI_CONFIG),
    layers: layers.map((layer) => descriptor(layer, OCI_LAYER)),
    ...more,
  })
}

/** Returns an OCI index of these descriptors. */
export function imageIndex(manifests: Descriptor[], more: object = {}): Named {
  return json({ schemaVersion: 2, mediaType: OCI_INDEX, manifests, ...more })
}
