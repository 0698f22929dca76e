import { createHmac, timingSafeEqual } from 'node:crypto'
import { isNestedDeep, isTime, parseLeniently } from '../oci/image-config.ts'
import { type Digest, digestToBytes } from '../oci/reference.ts'

/** The id of a Docker V1 image, 64 hex characters. In V1 each layer is an image with a parent. */
export type V1Id = string

/** The manifest whose layers are served as V1 images. */
export interface V1Manifest {
  /** The ids of its row and of its repository's. */
  id: number
  repositoryId: number
  digest: Digest
}

const GRAMMAR = /^[0-9a-f]{64}$/

/** The bytes of the manifest's id, the layer, and the MAC over both. */
const MANIFEST_BYTES = 6
const LAYER_BYTES = 2
const PLACE_BYTES = MANIFEST_BYTES + LAYER_BYTES
const PROOF_BYTES = 32 - PLACE_BYTES

/**
 * Formats the id of a layer's image. It encodes where the image is, so that ids need not be stored. A MAC proves that
 * it was issued for this manifest, because row ids may be reused.
 */
export function formatV1Id(key: Uint8Array, manifest: V1Manifest, layer: number): V1Id {
  const place = Buffer.alloc(PLACE_BYTES)
  place.writeUIntBE(manifest.id, 0, MANIFEST_BYTES)
  place.writeUIntBE(layer, MANIFEST_BYTES, LAYER_BYTES)
  return place.toString('hex') + prove(key, place, manifest).toString('hex')
}

/**
 * Returns what an id names, without checking its MAC: the id of the manifest's row and a layer, of which 0 is the leaf.
 * Returns undefined when it is malformed.
 */
export function parseV1Id(id: string): { manifest: number; layer: number } | undefined {
  if (!GRAMMAR.test(id)) return undefined
  const place = Buffer.from(id.slice(0, 2 * PLACE_BYTES), 'hex')
  return {
    manifest: place.readUIntBE(0, MANIFEST_BYTES),
    layer: place.readUIntBE(MANIFEST_BYTES, LAYER_BYTES),
  }
}

/** Reports whether the id was issued for a layer of this manifest. */
export function isV1IdOf(key: Uint8Array, id: V1Id, manifest: V1Manifest): boolean {
  const bytes = Buffer.from(id, 'hex')
  const proof = prove(key, bytes.subarray(0, PLACE_BYTES), manifest)
  return timingSafeEqual(proof, bytes.subarray(PLACE_BYTES))
}

function prove(key: Uint8Array, place: Uint8Array, { repositoryId, digest }: V1Manifest): Buffer {
  const hmac = createHmac('sha256', key).update(`v1 image of ${repositoryId}\n`).update(place)
  return hmac.update(digestToBytes(digest)).digest().subarray(0, PROOF_BYTES)
}

/** Fields of the source manifest that are replaced. */
const REPLACED: readonly string[] = ['id', 'parent', 'size']

/**
 * Formats the JSON of a Docker V1 image ("Docker Image Specification v1.0.0") from that of a schema 1 layer. Docker
 * ignores the case of field names. Malformed fields are dropped, because Docker would refuse the whole image.
 *
 * @param names the ids of the image and of the layer below, if there is one, and the size of the layer as sent, in bytes
 */
export function v1Json(
  v1Compatibility: string,
  { id, parent, size }: { id: V1Id; parent: V1Id | undefined; size: number },
): string {
  const isDeep = isNestedDeep(Buffer.from(v1Compatibility))
  const fields = Object.entries(isDeep ? {} : parseLeniently(v1Compatibility)).filter(
    ([name, value]) => !REPLACED.includes(name.toLowerCase()) && (name !== 'created' || isTime(value)),
  )
  return JSON.stringify({
    ...Object.fromEntries(fields),
    id,
    ...(parent === undefined ? {} : { parent }),
    Size: size,
  })
}
