import { isNestedDeep } from '../oci/json-depth.ts'
import { isTime, type Json, parseLeniently } from '../oci/lenient-json.ts'
import type { V1Id } from './v1-id.ts'

/** The fields of an image's JSON that do not come from its manifest. */
export interface V1Names {
  id: V1Id
  /** The id of the layer below. The base has none. */
  parent: V1Id | undefined
  /** The size of the layer as sent, in bytes. */
  size: number
}

/** Fields of the source manifest that are replaced. */
const REPLACED: readonly string[] = ['id', 'parent', 'size']

/**
 * Formats the JSON of a Docker V1 image ("Docker Image Specification v1.0.0") from that of a schema 1 layer. Docker
 * ignores the case of field names. Malformed fields are dropped, because Docker would refuse the whole image.
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
