import { registryError } from './error.ts'

declare const brand: unique symbol

/** A content digest, `sha256:<64 hex>` or `sha512:<128 hex>`. Only this module makes one. */
export type Digest = string & { readonly [brand]: 'Digest' }

export type DigestAlgorithm = 'sha256' | 'sha512'

/** The registered algorithms that cay verifies, with the length of their hash in hex characters. */
const HEX_LENGTH: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 }

/** image-spec, "Digests": `algorithm ":" encoded`. */
const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/
const HEX = /^[0-9a-f]+$/

/** The longest string that can be a digest which cay takes. */
const LENGTH_MAX = 'sha512:'.length + HEX_LENGTH.sha512

/** Parses a digest; throws DIGEST_INVALID when it is malformed or of an algorithm that cay does not verify. */
export function parseDigest(text: string): Digest {
  const digest = findDigest(text)
  if (digest !== undefined) return digest
  const shown = text.length > 160 ? `${text.slice(0, 160)}...` : text
  if (text.length <= 1024 && GRAMMAR.test(text)) {
    throw registryError(
      'DIGEST_INVALID',
      `digest "${shown}" is not sha256 with 64 or sha512 with 128 lower-case hex characters`,
    )
  }
  throw registryError('DIGEST_INVALID', `"${shown}" is not a digest (algorithm:hex)`)
}

/** Like parseDigest, but answers undefined. */
export function findDigest(text: string): Digest | undefined {
  if (text.length > LENGTH_MAX) return undefined
  const colon = text.indexOf(':')
  const algorithm = findAlgorithm(text.slice(0, colon))
  if (algorithm === undefined || text.length - colon - 1 !== HEX_LENGTH[algorithm]) return undefined
  return HEX.test(text.slice(colon + 1)) ? (text as Digest) : undefined
}

/** The algorithm of this name, or undefined when cay does not verify it. */
export function findAlgorithm(name: string): DigestAlgorithm | undefined {
  return name === 'sha256' || name === 'sha512' ? name : undefined
}

/** The algorithm that a digest was made with. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** The hash in hex, without the algorithm. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** The hash as bytes (32 or 64), the form that the database holds: the length tells the algorithm. */
export function digestToBytes(digest: Digest): Buffer {
  return Buffer.from(hexOf(digest), 'hex')
}

/** The inverse of digestToBytes. */
export function digestFromBytes(bytes: Uint8Array): Digest {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return digestFromHex(bytes.length === 32 ? 'sha256' : 'sha512', hex)
}

/** A digest from a hash that was just computed. */
export function digestFromHex(algorithm: DigestAlgorithm, hex: string): Digest {
  return `${algorithm}:${hex}` as Digest
}
