import { createHmac, timingSafeEqual } from 'node:crypto'

/** The id of an image of Docker V1, 64 hex characters; each layer is an image with a parent. */
export type V1Id = string

/** The manifest that images are made of. */
export interface V1Manifest {
  /** The ids of its row and of its repository's. */
  id: number
  repositoryId: number
  /** Its digest, as the database holds it. */
  digest: Uint8Array
}

/** What an id says that it names. */
export interface V1Place {
  /** The id of the manifest's row. */
  manifest: number
  /** Which layer; 0 is the leaf. */
  layer: number
}

const GRAMMAR = /^[0-9a-f]{64}$/

/** Bytes of the manifest's id, of the layer, and of what proves both. */
const MANIFEST_BYTES = 6
const LAYER_BYTES = 2
const PLACE_BYTES = MANIFEST_BYTES + LAYER_BYTES
const PROOF_BYTES = 32 - PLACE_BYTES

/**
 * The id of a layer's image. It says where the image is, so none has to be remembered; and proves, with the key, that it
 * was given for this manifest: ids of rows may be used again.
 */
export function formatV1Id(key: Uint8Array, manifest: V1Manifest, layer: number): V1Id {
  const place = Buffer.alloc(PLACE_BYTES)
  place.writeUIntBE(manifest.id, 0, MANIFEST_BYTES)
  place.writeUIntBE(layer, MANIFEST_BYTES, LAYER_BYTES)
  return place.toString('hex') + prove(key, place, manifest).toString('hex')
}

/** What an id says that it names, not proved yet; undefined when it is none. */
export function parseV1Id(id: string): V1Place | undefined {
  if (!GRAMMAR.test(id)) return undefined
  const place = Buffer.from(id.slice(0, 2 * PLACE_BYTES), 'hex')
  return {
    manifest: place.readUIntBE(0, MANIFEST_BYTES),
    layer: place.readUIntBE(MANIFEST_BYTES, LAYER_BYTES),
  }
}

/** Whether the id was given for a layer of this manifest. */
export function isV1IdOf(key: Uint8Array, id: V1Id, manifest: V1Manifest): boolean {
  const bytes = Buffer.from(id, 'hex')
  const proof = prove(key, bytes.subarray(0, PLACE_BYTES), manifest)
  return timingSafeEqual(proof, bytes.subarray(PLACE_BYTES))
}

function prove(key: Uint8Array, place: Uint8Array, { repositoryId, digest }: V1Manifest): Buffer {
  const hmac = createHmac('sha256', key).update(`v1 image of ${repositoryId}\n`).update(place).update(digest)
  return hmac.digest().subarray(0, PROOF_BYTES)
}
