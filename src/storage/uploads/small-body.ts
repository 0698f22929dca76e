import type { UploadBody } from '../../domain/blob-body.ts'
import { registryError } from '../../oci/error.ts'
import { SMALL_BYTES_MAX } from '../blob-store.ts'

/** The rate of a very slow connection. */
const SLOW_BYTES_PER_SECOND = 512

/** A body that announces a small length, and can be read as a whole. */
export type SmallBody = UploadBody & Required<Pick<UploadBody, 'bytes'>> & { length: number }

export function isSmallBody(body: UploadBody, bytesMax: number): body is SmallBody {
  const { bytes, length } = body
  return bytes !== undefined && length !== undefined && length <= Math.min(SMALL_BYTES_MAX, bytesMax)
}

/** Reads a small body. It may take the stall time, plus the time that a very slow connection needs. */
export async function readSmallBody(body: SmallBody, stallSecondsMax: number): Promise<Uint8Array> {
  const late = Promise.withResolvers<never>()
  const seconds = stallSecondsMax + body.length / SLOW_BYTES_PER_SECOND
  const timer = setTimeout(() => {
    const message = `the body of ${body.length} bytes did not arrive within ${Math.round(seconds)} seconds: send it again`
    late.reject(registryError('BLOB_UPLOAD_INVALID', message, { status: 408 }))
  }, seconds * 1000)
  try {
    return await Promise.race([body.bytes(), late.promise])
  } finally {
    clearTimeout(timer)
  }
}
