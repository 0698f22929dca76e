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
import { registryError } from '../oci/error.ts'

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

/** The header of a JWS: which key made the signature, and with which algorithm. */
export interface SignatureHeader {
  algorithm: string
  publicKey: KeyObject
}

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

/** Signs `input`. Returns r and s, 64 bytes together (RFC 7518, 3.4). */
export function signBytes(key: SigningKey, input: Uint8Array): Buffer {
  return sign('sha256', input, { key: key.privateKey, dsaEncoding: 'ieee-p1363' })
}

/**
 * Reads the header of a signature: `alg`, and the key from `x5c` or `jwk`. For `x5c` that is the key of the first
 * certificate. Like libtrust, this does not check the chain.
 *
 * @throws RegistryError MANIFEST_UNVERIFIED without a key or for an unknown algorithm; MANIFEST_INVALID for a malformed
 *   key, or one with the wrong `kid`
 */
export function readHeader(header: Record<string, unknown>): SignatureHeader {
  const { alg, jwk, x5c } = header
  if (typeof alg !== 'string' || !ALGORITHMS.has(alg)) {
    const known = [...ALGORITHMS.keys()].join(', ')
    throw registryError('MANIFEST_UNVERIFIED', `a signature's algorithm is none of ${known}`)
  }
  const [certificate] = Array.isArray(x5c) ? x5c : []
  if (certificate !== undefined) return { algorithm: alg, publicKey: certificateKey(certificate) }
  if (typeof jwk === 'object' && jwk !== null) return { algorithm: alg, publicKey: jwkKey(jwk) }
  throw registryError('MANIFEST_UNVERIFIED', 'a signature has no key: its header has neither "jwk" nor "x5c"')
}

/** Reports whether the header's key made this signature of `input`. */
export function isSignedBy(
  { algorithm, publicKey }: SignatureHeader,
  input: Uint8Array,
  signature: Uint8Array,
): boolean {
  const { hash, curve } = ALGORITHMS.get(algorithm) ?? {}
  if (hash === undefined || publicKey.asymmetricKeyType !== (curve === undefined ? 'rsa' : 'ec')) return false
  if (publicKey.asymmetricKeyDetails?.namedCurve !== curve) return false
  return verify(hash, input, { key: publicKey, dsaEncoding: 'ieee-p1363' }, signature)
}

/**
 * Returns libtrust's id of a key: the first 240 bits of the SHA-256 of its SubjectPublicKeyInfo, in base32 with groups
 * of four characters.
 */
export function keyId(publicKey: KeyObject): string {
  const der = publicKey.export({ type: 'spki', format: 'der' })
  const hash = createHash('sha256').update(der).digest().subarray(0, 30)
  return base32(hash).match(/.{4}/g)?.join(':') ?? ''
}

function jwkKey(jwk: object): KeyObject {
  // Take only the public members, because a JWK with its private key would be read as a private key.
  const { kty, crv, x, y, n, e, kid } = jwk as Record<string, unknown>
  const publicKey = read(() =>
    createPublicKey({
      key: (kty === 'EC' ? { kty, crv, x, y } : { kty, n, e }) as JsonWebKey,
      format: 'jwk',
    }),
  )
  if (kid !== undefined && kid !== keyId(publicKey)) {
    throw registryError('MANIFEST_INVALID', 'the "kid" of a signature does not match its key')
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
  return registryError('MANIFEST_INVALID', "a signature's key is not a valid ECDSA or RSA key", {
    cause,
  })
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
