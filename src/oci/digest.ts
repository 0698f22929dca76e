import { registryError } from './error.ts'

declare const brand: unique symbol

/** A content digest, `sha256:<64 hex>` or `sha512:<128 hex>`. Only this module makes one. */
export type Digest = string & { readonly [brand]: 'Digest' }

export type DigestAlgorithm = 'sha256' | 'sha512'

/** The registered algorithms that cay verifies, with the length of their hashes in hex characters. */
const HEX_LENGTH: Record<DigestAlgorithm, number> = { sha256: 64, sha512: 128 }

/** image-spec, "Digests": `algorithm ":" encoded`. */
const GRAMMAR = /^[a-z0-9]+(?:[+._-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/
const HEX = /^[0-9a-f]+$/

/** The length of the longest digest that cay accepts. */
const LENGTH_MAX = 'sha512:'.length + HEX_LENGTH.sha512

/** Parses a digest. Throws DIGEST_INVALID when it is malformed or uses an algorithm that cay does not verify. */
export function parseDigest(text: string): Digest {
  const digest = tryParseDigest(text)
  if (digest !== undefined) return digest
  const shown = text.length > 160 ? `${text.slice(0, 160)}...` : text
  if (text.length <= 1024 && GRAMMAR.test(text)) {
    throw registryError(
      'DIGEST_INVALID',
      `invalid digest "${shown}": use sha256 with 64, or sha512 with 128 lower-case hex characters`,
    )
  }
  throw registryError('DIGEST_INVALID', `invalid digest "${shown}": use the form algorithm:hex`)
}

/** Like parseDigest, but returns undefined instead of throwing. */
export function tryParseDigest(text: string): Digest | undefined {
  if (text.length > LENGTH_MAX) return undefined
  const colon = text.indexOf(':')
  const algorithm = tryParseAlgorithm(text.slice(0, colon))
  if (algorithm === undefined || text.length - colon - 1 !== HEX_LENGTH[algorithm]) return undefined
  return HEX.test(text.slice(colon + 1)) ? (text as Digest) : undefined
}

/** The digests that begin with the same characters, as bytes. Both ends are included; `size` is their length. */
export interface DigestRange {
  low: Buffer
  high: Buffer
  size: number
}

/** The shortest prefix that stands for a digest, in hex characters. */
const PREFIX_MIN = 6

/** Returns the digests that begin with the prefix. Throws DIGEST_INVALID. */
export function digestRange(prefix: string): DigestRange {
  const [name = '', hex = ''] = prefix.split(':', 2)
  const algorithm = tryParseAlgorithm(name)
  if (
    algorithm === undefined ||
    !HEX.test(hex) ||
    hex.length < PREFIX_MIN ||
    hex.length > HEX_LENGTH[algorithm]
  )
    throw registryError(
      'DIGEST_INVALID',
      'a prefix of a digest is sha256: or sha512: and at least 6 hex characters',
    )
  const length = HEX_LENGTH[algorithm]
  const bytes = (filler: string) => Buffer.from(hex.padEnd(length, filler), 'hex')
  return { low: bytes('0'), high: bytes('f'), size: length / 2 }
}

/** Returns the algorithm with this name, or undefined when cay does not verify it. */
export function tryParseAlgorithm(name: string): DigestAlgorithm | undefined {
  return name === 'sha256' || name === 'sha512' ? name : undefined
}

/** Returns the algorithm of a digest. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.startsWith('sha256:') ? 'sha256' : 'sha512'
}

/** Returns the hash in hex, without the algorithm. */
export function hexOf(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1)
}

/** Returns the hash as 32 or 64 bytes, the form stored in the database. The length implies the algorithm. */
export function digestToBytes(digest: Digest): Buffer {
  return Buffer.from(hexOf(digest), 'hex')
}

/** The inverse of digestToBytes. */
export function digestFromBytes(bytes: Uint8Array): Digest {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return digestFromHex(bytes.length === 32 ? 'sha256' : 'sha512', hex)
}

/** Hashes bytes. */
export function digestOf(bytes: Uint8Array, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return digestFromHex(algorithm, new Bun.CryptoHasher(algorithm).update(bytes).digest('hex'))
}

/** Makes a digest from a computed hash. */
export function digestFromHex(algorithm: DigestAlgorithm, hex: string): Digest {
  return `${algorithm}:${hex}` as Digest
}
