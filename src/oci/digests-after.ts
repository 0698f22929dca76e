import { type Digest, hexOf } from './digest.ts'
import { readParts } from './manifest-parts.ts'

/**
 * Returns at most `max` digests of an index's entries that come after a digest, in the order of their bytes. A malformed
 * entry is left out.
 */
export function digestsAfter(bytes: Uint8Array, after: Digest | undefined, max: number): Digest[] {
  const from = after === undefined ? '' : hexOf(after)
  const { children } = readParts(bytes)
  const digests = new Map(children.map(({ digest }) => [hexOf(digest), digest]))
  // Hexadecimal digits have the order of the bytes that they stand for.
  const found = [...digests].filter(([hex]) => hex > from).sort(([a], [b]) => (a < b ? -1 : 1))
  return found.slice(0, max).map(([, digest]) => digest)
}
