import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type JsonWebKey,
  type KeyObject,
  sign,
  verify,
  X509Certificate,
} from 'node:crypto'
import { type RegistryError, registryError } from '../oci/error.ts'
import { isObject } from '../oci/image-config.ts'

/** A JSON document with its own signatures, in the form of libtrust (Docker schema 1, "Signed Manifests"). */
export interface SignedDocument {
  /** The bytes without the signatures. These were signed, and the digest is of these. */
  payload: Uint8Array<ArrayBuffer>
  /** Empty for an unsigned document, whose payload is the whole document. */
  signatures: DocumentSignature[]
}

export interface DocumentSignature {
  header: Record<string, unknown>
  /** In base64url, as is the signature. */
  protected: string
  signature: string
}

/** How to remove the signatures: the number of bytes before them, and the bytes after them. */
interface Format {
  length: number
  tail: Buffer
}

/** The most signatures on one document. Each costs a verification, and nobody makes this many. */
const SIGNATURES_MAX = 16

const BASE64URL = /^[A-Za-z0-9_-]*={0,2}$/
const SPLICED = /^[ \t\r\n]*,[ \t\r\n]*"signatures"[ \t\r\n]*:/

/**
 * Separates a document from its signatures. Checks that nothing but signatures was added, so that every client reads
 * the same manifest whether it removes them or not. Does not verify the signatures. Throws MANIFEST_INVALID.
 */
export function parseSignedDocument(bytes: Uint8Array): SignedDocument {
  const list = parse(bytes).signatures
  if (list === undefined) return { payload: new Uint8Array(bytes), signatures: [] }
  if (!Array.isArray(list) || list.length === 0 || list.length > SIGNATURES_MAX) {
    throw invalid(`"signatures" is not a list of 1 to ${SIGNATURES_MAX} signatures`)
  }
  const signatures = list.map(readSignature)
  const [format, ...others] = signatures.map(readFormat)
  if (format === undefined) throw invalid('the document has no signatures')
  if (others.some(({ length, tail }) => length !== format.length || !tail.equals(format.tail))) {
    throw invalid('the signatures have different values of formatLength or formatTail')
  }
  return { payload: withoutSignatures(bytes, format), signatures }
}

/** Verifies every signature. Throws MANIFEST_UNVERIFIED when one is not of the payload. */
export function verifySignatures({ payload, signatures }: SignedDocument): void {
  const encoded = Buffer.from(payload).toString('base64url')
  for (const signature of signatures) {
    const header = readHeader(signature.header)
    const input = Buffer.from(`${signature.protected}.${encoded}`)
    if (!isSignedBy(header, input, Buffer.from(signature.signature, 'base64url')))
      throw unverified('a signature does not verify with the key it names')
  }
}

/**
 * Signs a JSON object (RFC 7515) and inserts the signature. The length of the result depends only on the payload.
 *
 * @param now milliseconds since 1970
 */
export function signDocument(payload: Uint8Array, key: SigningKey, now: number): Uint8Array<ArrayBuffer> {
  const bytes = Buffer.from(payload)
  const length = lastNotSpace(bytes, lastNotSpace(bytes, bytes.length)) + 1
  const tail = bytes.subarray(length)
  const time = `${new Date(now).toISOString().slice(0, 19)}Z`
  const format = { formatLength: length, formatTail: tail.toString('base64url'), time }
  const header = Buffer.from(JSON.stringify(format)).toString('base64url')
  const input = Buffer.from(`${header}.${bytes.toString('base64url')}`)
  // r and s, 64 bytes together (RFC 7518, 3.4).
  const signature = sign('sha256', input, { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
  const block = {
    header: { jwk: key.jwk, alg: 'ES256' },
    signature: signature.toString('base64url'),
    protected: header,
  }
  const list = JSON.stringify([block], undefined, 3).replaceAll('\n', '\n   ')
  const spliced = Buffer.from(`,\n   "signatures": ${list}`)
  return new Uint8Array(Buffer.concat([bytes.subarray(0, length), spliced, tail]))
}

/** JSON's white space. */
const SPACES = [0x20, 0x09, 0x0a, 0x0d]

/** Returns the index of the last byte before `end` that is not white space, or -1. */
function lastNotSpace(bytes: Uint8Array, end: number): number {
  let index = end - 1
  while (SPACES.includes(bytes[index] ?? -1)) index--
  return index
}

function withoutSignatures(bytes: Uint8Array, { length, tail }: Format): Uint8Array<ArrayBuffer> {
  const brace = lastNotSpace(bytes, bytes.length)
  if (tail.toString('latin1').trim() !== '}' || length > brace) throw invalidFormat()
  try {
    const spliced = utf8(bytes.subarray(length, brace))
    const prefix = SPLICED.exec(spliced)?.[0]
    if (prefix === undefined) throw invalidFormat()
    JSON.parse(spliced.slice(prefix.length))
  } catch (cause) {
    throw invalidFormat(cause)
  }
  const payload = new Uint8Array(Buffer.concat([bytes.subarray(0, length), tail]))
  if ('signatures' in parse(payload)) throw invalidFormat()
  return payload
}

function readSignature(value: unknown): DocumentSignature {
  if (isObject(value) && isObject(value.header)) {
    const { header, protected: format, signature } = value
    if (isBase64Url(format) && isBase64Url(signature)) return { header, protected: format, signature }
  }
  throw invalid('a signature has no valid "header", "protected" and "signature"')
}

function readFormat(signature: DocumentSignature): Format {
  const { formatLength, formatTail } = parse(Buffer.from(signature.protected, 'base64url'))
  if (typeof formatLength !== 'number' || !Number.isSafeInteger(formatLength) || formatLength < 1) {
    throw invalid('the "formatLength" of a signature is not a number of bytes')
  }
  if (!isBase64Url(formatTail)) throw invalid('the "formatTail" of a signature is not base64url')
  return { length: formatLength, tail: Buffer.from(formatTail, 'base64url') }
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  let document: unknown
  try {
    document = JSON.parse(utf8(bytes))
  } catch (cause) {
    throw invalid('the manifest, or one of its signatures, is not JSON in UTF-8', cause)
  }
  if (!isObject(document)) throw invalid('the manifest, or one of its signatures, is not a JSON object')
  return document
}

function utf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
}

function isBase64Url(value: unknown): value is string {
  return typeof value === 'string' && BASE64URL.test(value)
}

function invalidFormat(cause?: unknown): RegistryError {
  return invalid(
    'the signatures are not at "formatLength" in the manifest, so the signed bytes cannot be determined',
    cause,
  )
}

function invalid(message: string, cause?: unknown): RegistryError {
  return registryError('MANIFEST_INVALID', message, { cause })
}

function unverified(message: string): RegistryError {
  return registryError('MANIFEST_UNVERIFIED', message)
}

/*
 * jose is used elsewhere but not here. It verifies asynchronously, refuses RSA keys under 2048 bits, which libtrust
 * accepted, and does not know libtrust's key ids. It would replace only `sign` and `verify`, one call each.
 */

/** The algorithms that libtrust uses (RFC 7518, 3.1): the hash, and for ECDSA the only curve allowed with it. */
const ALGORITHMS = new Map<string, { hash: string; curve?: string }>([
  ['ES256', { hash: 'sha256', curve: 'prime256v1' }],
  ['ES384', { hash: 'sha384', curve: 'secp384r1' }],
  ['ES512', { hash: 'sha512', curve: 'secp521r1' }],
  ['RS256', { hash: 'sha256' }],
  ['RS384', { hash: 'sha384' }],
  ['RS512', { hash: 'sha512' }],
])

/** The largest RSA key whose signatures are verified. Larger ones cost too much. */
const RSA_BITS_MAX = 8192

/** Our own key for Docker's manifests (ES256), with its libtrust key id. */
export interface SigningKey {
  privateKey: KeyObject
  /** The public key with its `kid`, as it appears in a signature's header. */
  jwk: Record<string, string>
}

/** Generates a key as JSON for readSigningKey. It is secret. */
export function newSigningKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return JSON.stringify(privateKey.export({ format: 'jwk' }))
}

/** Reads a key that newSigningKey generated. */
export function readSigningKey(privateJwk: string): SigningKey {
  const privateKey = createPrivateKey({ key: JSON.parse(privateJwk), format: 'jwk' })
  const publicKey = createPublicKey(privateKey)
  const { crv = '', kty = '', x = '', y = '' } = publicKey.export({ format: 'jwk' })
  return { privateKey, jwk: { crv, kid: keyId(publicKey), kty, x, y } }
}

/**
 * Reads the header of a signature: `alg`, and the key from `x5c` or `jwk`. For `x5c` that is the key of the first
 * certificate. Like libtrust, this does not check the chain.
 *
 * @throws RegistryError MANIFEST_UNVERIFIED without a key or for an unknown algorithm; MANIFEST_INVALID for a malformed
 *   key, or one with the wrong `kid`
 */
function readHeader(header: Record<string, unknown>): SignatureHeader {
  const { alg, jwk, x5c } = header
  if (typeof alg !== 'string' || !ALGORITHMS.has(alg)) {
    const known = [...ALGORITHMS.keys()].join(', ')
    throw unverified(`a signature's algorithm is none of ${known}`)
  }
  const [certificate] = Array.isArray(x5c) ? x5c : []
  if (certificate !== undefined) return { algorithm: alg, publicKey: certificateKey(certificate) }
  if (typeof jwk === 'object' && jwk !== null) return { algorithm: alg, publicKey: jwkKey(jwk) }
  throw unverified('a signature has no key: its header has neither "jwk" nor "x5c"')
}

/** Which key made a signature, and with which algorithm. */
interface SignatureHeader {
  algorithm: string
  publicKey: KeyObject
}

/** Reports whether the header's key made this signature of `input`. */
function isSignedBy(
  { algorithm, publicKey }: SignatureHeader,
  input: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { hash, curve } = ALGORITHMS.get(algorithm) ?? {}
  if (hash === undefined || publicKey.asymmetricKeyType !== (curve === undefined ? 'rsa' : 'ec')) return false
  if (publicKey.asymmetricKeyDetails?.namedCurve !== curve) return false
  return verify(hash, input, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)
}

/** Returns libtrust's id of a key: 240 bits of the SHA-256 of its SubjectPublicKeyInfo, in groups of base32. */
export function keyId(publicKey: KeyObject): string {
  const der = publicKey.export({ type: 'spki', format: 'der' })
  const hash = createHash('sha256').update(der).digest().subarray(0, 30)
  return base32(hash).match(/.{4}/g)?.join(':') ?? ''
}

function jwkKey(jwk: object): KeyObject {
  // Take only the public members, because a JWK with its private key would be read as a private key.
  const { kty, crv, x, y, n, e, kid } = jwk as Record<string, unknown>
  const key = (kty === 'EC' ? { kty, crv, x, y } : { kty, n, e }) as JsonWebKey
  const publicKey = read(() => createPublicKey({ key, format: 'jwk' }))
  if (kid !== undefined && kid !== keyId(publicKey)) {
    throw invalid('the "kid" of a signature does not match its key')
  }
  return publicKey
}

function certificateKey(certificate: unknown): KeyObject {
  if (typeof certificate !== 'string') throw malformedKey()
  return read(() => new X509Certificate(Buffer.from(certificate, 'base64')).publicKey)
}

function read(make: () => KeyObject): KeyObject {
  let key: KeyObject
  try {
    key = make()
  } catch (cause) {
    throw malformedKey(cause)
  }
  const { asymmetricKeyType: type, asymmetricKeyDetails: details } = key
  const isRsa = type === 'rsa' && (details?.modulusLength ?? Number.POSITIVE_INFINITY) <= RSA_BITS_MAX
  if (isRsa || type === 'ec') return key
  throw malformedKey()
}

function malformedKey(cause?: unknown) {
  return invalid("a signature's key is not a valid ECDSA or RSA key", cause)
}

/** Encodes bytes, a multiple of five, in base32 (RFC 4648, 6). */
function base32(bytes: Uint8Array): string {
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
  let text = ''
  let [bits, value] = [0, 0]
  for (const byte of bytes) {
    value = (value << 8) | byte
    bits += 8
    for (; bits >= 5; bits -= 5) text += alphabet[(value >> (bits - 5)) & 31]
    value &= 31
  }
  return text
}
