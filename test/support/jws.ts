import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'

/** A key pair with the key and the algorithm for the header of a signature. */
export interface TestKey {
  alg: string
  hash: string
  privateKey: KeyObject
  jwk: object
}

/** Generates a key for an algorithm of RFC 7518, 3.1. */
export function testKey(alg: string): TestKey {
  const hash = `sha${alg.slice(2)}`
  const curves: Record<string, string> = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' }
  const { privateKey, publicKey } = alg.startsWith('ES')
    ? generateKeyPairSync('ec', { namedCurve: curves[alg] ?? '' })
    : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return { alg, hash, privateKey, jwk: publicKey.export({ format: 'jwk' }) }
}

export interface Signing {
  /** Replaces the key's own. */
  header?: object
  format?: object
}

/** Signs a JSON document that ends with `\n}`, and adds the signatures as libtrust does. */
export function signed(
  text: string,
  keys: TestKey[],
  { header, format }: Signing = {},
): Uint8Array<ArrayBuffer> {
  const payload = Buffer.from(text)
  const length = payload.length - 2
  const blocks = keys.map(({ alg, hash, privateKey, jwk }) => {
    const fields = { formatLength: length, formatTail: 'Cn0', time: '2020-01-01T00:00:00Z', ...format }
    const encoded = base64url(JSON.stringify(fields))
    const input = Buffer.from(`${encoded}.${base64url(payload)}`)
    const signature = sign(hash, input, { key: privateKey, dsaEncoding: 'ieee-p1363' })
    return { header: header ?? { jwk, alg }, signature: base64url(signature), protected: encoded }
  })
  return spliced(payload, blocks)
}

/** Returns the document with a value under `signatures`. */
export function spliced(payload: Uint8Array, signatures: unknown): Uint8Array<ArrayBuffer> {
  const head = payload.subarray(0, payload.length - 2)
  return Uint8Array.from(
    Buffer.concat([head, Buffer.from(`,\n   "signatures": ${JSON.stringify(signatures)}\n}`)]),
  )
}

/** Returns a schema 1 manifest of layers, leaf first, as a string that ends with `\n}`. */
export function schema1Text(name: string, tag: string, layers: string[], more: object = {}): string {
  const ids = layers.map((_, index) => createHash('sha256').update(`layer ${index}`).digest('hex'))
  const history = layers.map((_, index) => ({
    v1Compatibility: JSON.stringify({ id: ids[index], parent: ids[index + 1], comment: 'Zoë 日本 🐳' }),
  }))
  const fsLayers = layers.map((blobSum) => ({ blobSum }))
  const document = { schemaVersion: 1, name, tag, architecture: 'amd64', fsLayers, history, ...more }
  return JSON.stringify(document, undefined, 3)
}

function base64url(text: string | Uint8Array): string {
  return Buffer.from(text).toString('base64url')
}
