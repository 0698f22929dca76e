import type { UploadBody } from '../domain/blob-body.ts'
import { registryError } from '../oci/error.ts'
import { SMALL_BYTES_MAX } from './blob-store.ts'

/** What a very slow link brings. */
const SLOW_BYTES_PER_SECOND = 512

/** A body that says it is small, and can be read as a whole. */
export type SmallBody = UploadBody & Required<Pick<UploadBody, 'bytes'>> & { length: number }

export function isSmallBody(body: UploadBody, bytesMax: number): body is SmallBody {
  const { bytes, length } = body
  return bytes !== undefined && length !== undefined && length <= Math.min(SMALL_BYTES_MAX, bytesMax)
}

/** Reads a small body. It may stall for so long, besides the time that it takes on a very slow link. */
export async function readSmallBody(body: SmallBody, stallSecondsMax: number): Promise<Uint8Array> {
  const late = Promise.withResolvers<never>()
  const seconds = stallSecondsMax + body.length / SLOW_BYTES_PER_SECOND
  const timer = setTimeout(() => {
    const message = `the ${body.length} bytes did not come within ${Math.round(seconds)} seconds: send them again`
    late.reject(registryError('BLOB_UPLOAD_INVALID', message, { status: 408 }))
  }, seconds * 1000)
  try {
    return await Promise.race([body.bytes(), late.promise])
  } finally {
    clearTimeout(timer)
  }
}
