import { isNestedDeep } from '../oci/json-depth.ts'
import { isTime, type Json, parseLeniently } from '../oci/lenient-json.ts'
import type { V1Id } from './v1-id.ts'

/** What the JSON of an image says besides what its manifest does. */
export interface V1Names {
  id: V1Id
  /** Of the layer below; the base has none. */
  parent: V1Id | undefined
  /** Bytes of the layer, as it is sent. */
  size: number
}

/** Names that are not for clients: those of the manifest that the image comes from. */
const REPLACED: readonly string[] = ['id', 'parent', 'size']

/**
 * The JSON of an image of Docker V1 ("Docker Image Specification v1.0.0"), from that of a layer of schema 1. Docker reads
 * the names of fields in any case; what is malformed is left out, for Docker would refuse all of it.
 */
export function v1Json(v1Compatibility: string, { id, parent, size }: V1Names): string {
  const fields = Object.entries(readObject(v1Compatibility)).filter(
    ([name, value]) => !REPLACED.includes(name.toLowerCase()) && (name !== 'created' || isTime(value)),
  )
  return JSON.stringify({
    ...Object.fromEntries(fields),
    id,
    ...(parent === undefined ? {} : { parent }),
    Size: size,
  })
}

function readObject(text: string): Json {
  return isNestedDeep(Buffer.from(text)) ? {} : parseLeniently(text)
}
