import { timingSafeEqual } from 'node:crypto'
import { type DigestAlgorithm, tryParseAlgorithm } from '../oci/digest.ts'
import type { Upload } from './blob-store.ts'

/** `<uuid>~<algorithm>~<signature>`: letters that a path takes as they are. */
const GRAMMAR = /^([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})~(sha\d{3})~([\w-]{22})$/

/** Bytes of a signature: as many as the random part of the id has. */
const SIGNATURE_BYTES = 16

/**
 * Ids that say by themselves what an upload is: when it began, with which algorithm, and, by a signature, in which
 * scope. So an upload begins without a write, and is known to a server that has started anew.
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

  /** The upload that an id names in a scope; undefined when it was not made here, or for another scope. */
  parse(scope: string, id: string): Upload | undefined {
    const [, uuid = '', name = '', signature = ''] = GRAMMAR.exec(id) ?? []
    const algorithm = tryParseAlgorithm(name)
    if (algorithm === undefined) return undefined
    const expected = this.sign(uuid, scope, algorithm)
    if (!timingSafeEqual(Buffer.from(expected), Buffer.from(signature))) return undefined
    return { id, scope, algorithm }
  }

  private sign(uuid: string, scope: string, algorithm: DigestAlgorithm): string {
    const hmac = new Bun.CryptoHasher('sha256', this.key).update(`${uuid} ${algorithm} ${scope}`).digest()
    return hmac.subarray(0, SIGNATURE_BYTES).toString('base64url')
  }
}

/** What follows the hash in the id of a fill, whose file is named by the hash alone: no client's id ends so. */
export const FILL_SUFFIX = '~fill'

/** What names the upload's file. */
export function uuidOf(id: string): string {
  return id.slice(0, id.indexOf('~'))
}

/** When an upload began, in milliseconds since 1970: the first 48 bits of its id (RFC 9562, 5.7). */
export function beganAt(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}
