import { timingSafeEqual } from 'node:crypto'
import { type DigestAlgorithm, tryParseAlgorithm } from '../../oci/digest.ts'
import { ownText } from '../../own-text.ts'
import type { Upload } from '../blob-store.ts'

/** `<uuid>~<algorithm>~<signature>`, in characters that a path need not encode. */
const GRAMMAR = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})~(sha\d{3})~([\w-]{22})$/

/** The bytes of a signature, as many as the random part of the id has. */
const SIGNATURE_BYTES = 16

/**
 * Makes and reads ids that contain what an upload is: its start time, its algorithm, and a signature for its scope. So
 * starting an upload needs no write, and uploads survive a restart.
 */
export class UploadIds {
  private readonly key: Buffer

  constructor(key: Buffer) {
    this.key = key
  }

  make(scope: string, algorithm: DigestAlgorithm): Upload {
    const uuid = Bun.randomUUIDv7()
    return { id: `${uuid}~${algorithm}~${this.sign(uuid, scope, algorithm)}`, scope, algorithm }
  }

  /** Returns the upload of an id; undefined if the id was not issued here for this scope. */
  parse(scope: string, id: string): Upload | undefined {
    const [, uuid = '', name = '', signature = ''] = GRAMMAR.exec(id) ?? []
    const algorithm = tryParseAlgorithm(name)
    if (algorithm === undefined) return undefined
    const expected = this.sign(uuid, scope, algorithm)
    if (!timingSafeEqual(Buffer.from(expected), Buffer.from(signature))) return undefined
    return { id: ownText(id), scope: ownText(scope), algorithm }
  }

  private sign(uuid: string, scope: string, algorithm: DigestAlgorithm): string {
    const hmac = new Bun.CryptoHasher('sha256', this.key).update(`${uuid} ${algorithm} ${scope}`).digest()
    return hmac.subarray(0, SIGNATURE_BYTES).toString('base64url')
  }
}

/** The suffix of the id of a fill, after the hash and the upstream that name its file. No client's id ends with it. */
export const FILL_SUFFIX = '~fill'

/** Returns the name of the upload's file. */
export function uuidOf(id: string): string {
  return id.slice(0, id.indexOf('~'))
}

/** Returns when an upload began, in milliseconds since 1970: the first 48 bits of its id (RFC 9562, 5.7). */
export function beganAt(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
