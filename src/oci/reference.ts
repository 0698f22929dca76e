import { registryError } from './error.ts'

declare const brand: unique symbol

/** A repository name, `<name>` in the distribution-spec. Only this module makes one. */
export type RepositoryName = string & { readonly [brand]: 'RepositoryName' }

/** A tag as defined by the distribution-spec. Only this module makes one. */
export type Tag = string & { readonly [brand]: 'Tag' }

/** The name of a manifest in a repository, `<reference>` in the distribution-spec. */
export type Reference = { digest: Digest; tag?: undefined } | { tag: Tag; digest?: undefined }

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const TAG = /^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$/

/** Clients limit the host and the name together to 255 characters (distribution-spec, "Pulling manifests"). */
export const REPOSITORY_NAME_CHARACTERS_MAX = 255

/** Parses a repository name. Throws NAME_INVALID. */
export function parseRepositoryName(text: string): RepositoryName {
  if (text.length === 0) throw registryError('NAME_INVALID', 'the repository name is empty')
  if (text.length > REPOSITORY_NAME_CHARACTERS_MAX) {
    throw registryError(
      'NAME_INVALID',
      `the repository name has ${text.length} characters; the maximum is ${REPOSITORY_NAME_CHARACTERS_MAX}`,
    )
  }
  for (const component of text.split('/')) {
    if (!COMPONENT.test(component)) {
      throw registryError(
        'NAME_INVALID',
        `invalid repository name ${JSON.stringify(text)}: ${JSON.stringify(component)} must be lowercase letters and ` +
          'digits, separated by ".", "_", "__" or "-"',
      )
    }
  }
  return text as RepositoryName
}

/** Like parseRepositoryName, but returns undefined instead of throwing. */
export function tryParseRepositoryName(text: string): RepositoryName | undefined {
  try {
    return parseRepositoryName(text)
  } catch {
    return undefined
  }
}

/** Parses a tag. Throws MANIFEST_INVALID, because the specification has no code for tags. */
export function parseTag(text: string): Tag {
  const tag = tryParseTag(text)
  if (tag !== undefined) return tag
  const shown = JSON.stringify(text.length > 160 ? `${text.slice(0, 160)}...` : text)
  throw registryError(
    'MANIFEST_INVALID',
    `invalid tag ${shown}: use at most 128 letters, digits, "_", "." and "-", and do not begin with "." or "-"`,
  )
}

/** Like parseTag, but returns undefined instead of throwing. */
export function tryParseTag(text: string): Tag | undefined {
  return TAG.test(text) ? (text as Tag) : undefined
}

/** Parses a tag or a digest. Text with a colon must be a digest. Throws DIGEST_INVALID or MANIFEST_INVALID. */
export function parseReference(text: string): Reference {
  const digest = tryParseDigest(text)
  if (digest !== undefined) return { digest }
  if (text.includes(':')) return { digest: parseDigest(text) }
  return { tag: parseTag(text) }
}

/** Formats a reference as clients write it. */
export function formatReference(reference: Reference): string {
  return reference.digest ?? reference.tag
}

/** Returns the tag under which clients without the referrers API keep a subject's list of referrers. */
export function referrersTag(subject: Digest): Tag {
  const [algorithm = '', encoded = ''] = subject.split(':')
  return `${algorithm.slice(0, 32)}-${encoded.slice(0, 64)}` as Tag
}

/** Reports whether a tag has the form of `companionTags`, so that it serves another manifest and not people. */
export function isCompanionTag(tag: string): boolean {
  return /^[a-z0-9+._]{1,32}-[0-9a-f]{64}(\.sig|\.att|\.sbom)?$/.test(tag)
}

/** Returns the tags that belong to a manifest by name: the referrers tag and the tags that cosign uses. */
export function companionTags(subject: Digest): Tag[] {
  return ['', '.sig', '.att', '.sbom'].map((suffix) => `${referrersTag(subject)}${suffix}` as Tag)
}

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

/** A part of a blob: `start` is the first byte, `end` the byte after the last. */
export interface ByteRange {
  start: number
  end: number
}

/**
 * Parses a `Range` header against a representation of `size` bytes (RFC 9110, 14.1.2).
 * Returns undefined when the whole representation should be sent, because the header is malformed, has another unit, or
 * asks for several ranges. A server may ignore all of these. `unsatisfiable` means 416.
 */
export function parseRange(header: string, size: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d{0,16})-(\d{0,16})$/i.exec(header.replaceAll(' ', ''))
  if (!match) return undefined
  const [, first = '', last = ''] = match
  if (first === '') {
    if (last === '') return undefined
    const length = Math.min(Number(last), size)
    return length === 0 ? 'unsatisfiable' : { start: size - length, end: size }
  }
  const start = Number(first)
  if (last !== '' && Number(last) < start) return 'unsatisfiable'
  if (start >= size) return 'unsatisfiable'
  return { start, end: last === '' ? size : Math.min(Number(last) + 1, size) }
}

/**
 * Parses the `Content-Range` of a chunk, `<start>-<end>` with both inclusive (distribution-spec, "Pushing a blob in
 * chunks"). Also accepts the form of RFC 9110 (`bytes 0-9/*`). Returns undefined when it is malformed.
 */
export function parseContentRange(header: string): { start: number; last: number } | undefined {
  const match = /^(?:bytes[ =])?(\d{1,16})-(\d{1,16})(?:\/(?:\*|\d{1,16}))?$/i.exec(header.trim())
  if (!match) return undefined
  return { start: Number(match[1]), last: Number(match[2]) }
}

/** Formats the `Range` header of an upload: `0-<last byte>`, or `0-0` when there are no bytes yet. */
export function formatUploadRange(size: number): string {
  return `0-${Math.max(0, size - 1)}`
}
