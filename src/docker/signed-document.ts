import { type RegistryError, registryError } from '../oci/error.ts'
import { isObject } from '../oci/lenient-json.ts'
import { isSignedBy, readHeader, type SigningKey, signBytes } from './signing-key.ts'

/**
 * A JSON document that contains its own signatures, in the form of libtrust's "pretty signature". Docker schema 1
 * manifests have this form ("Signed Manifests" in their specification).
 */
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

/** How to remove the signatures, from their protected header. */
interface Format {
  /** The number of bytes before the signatures. */
  length: number
  /** The bytes after them. */
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
    if (isSignedBy(header, input, Buffer.from(signature.signature, 'base64url'))) continue
    throw registryError('MANIFEST_UNVERIFIED', 'a signature does not verify with the key it names')
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
  const signature = signBytes(key, Buffer.from(`${header}.${bytes.toString('base64url')}`))
  const block = {
    header: { jwk: key.jwk, alg: 'ES256' },
    signature: signature.toString('base64url'),
    protected: header,
  }
  const list = JSON.stringify([block], undefined, 3).replaceAll('\n', '\n   ')
  const spliced = Buffer.from(`,\n   "signatures": ${list}`)
  return new Uint8Array(Buffer.concat([bytes.subarray(0, length), spliced, tail]))
}

/** Returns the index of the last byte before `end` that is not white space, or -1. */
function lastNotSpace(bytes: Uint8Array, end: number): number {
  let index = end - 1
  while (index >= 0 && isSpace(bytes[index])) index--
  return index
}

function isSpace(byte: number | undefined): boolean {
  return byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d
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
    throw registryError('MANIFEST_INVALID', 'the manifest, or one of its signatures, is not JSON in UTF-8', {
      cause,
    })
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
  return registryError(
    'MANIFEST_INVALID',
    'the signatures are not at "formatLength" in the manifest, so the signed bytes cannot be determined',
    { cause },
  )
}

function invalid(message: string): RegistryError {
  return registryError('MANIFEST_INVALID', message)
}
