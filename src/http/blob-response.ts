import type { Blobs } from '../core/registry.ts'
import type { Digest } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import { type ByteRange, parseRange } from '../oci/range.ts'
import { isNotModified } from './distribution/conditional.ts'

/** A blob that is asked for, whatever the surface. */
export interface BlobRequest {
  request: Request
  blobs: Blobs
  digest: Digest
  /** Bytes. */
  size: number
  /** Told of each body of a blob that is sent, with its size in bytes, and whether it comes from a file. */
  onBlobBody: (bytes: number, isFile: boolean) => void
}

/**
 * A blob, or the range of it that is asked for (RFC 9110, 14); HEAD reads none of its bytes.
 *
 * @param more further headers, also of a 304
 * @throws RegistryError SIZE_INVALID for a range that is not within the blob
 */
export function blobResponse(
  asked: BlobRequest,
  more: Record<string, string> = {},
): Response | Promise<Response> {
  const { request, digest, size } = asked
  const names = { 'docker-content-digest': digest, etag: `"${digest}"`, ...more }
  if (isNotModified(request, digest)) return new Response(null, { status: 304, headers: names })
  const headers: Record<string, string> = {
    'content-type': 'application/octet-stream',
    'content-length': String(size),
    'accept-ranges': 'bytes',
    'content-disposition': 'attachment',
    'x-content-type-options': 'nosniff',
    ...names,
  }
  const range = rangeOf(request, digest, size)
  if (range === undefined) return respond(asked, 200, headers, { start: 0, end: size })
  headers['content-range'] = `bytes ${range.start}-${range.end - 1}/${size}`
  headers['content-length'] = String(range.end - range.start)
  return respond(asked, 206, headers, range)
}

/** Waits for nothing where no bytes are sent. */
function respond(
  asked: BlobRequest,
  status: number,
  headers: Record<string, string>,
  range: ByteRange,
): Response | Promise<Response> {
  const isEmpty = asked.request.method === 'HEAD' || range.start === range.end
  return isEmpty ? new Response(null, { status, headers }) : send(asked, status, headers, range)
}

async function send(
  { blobs, digest, onBlobBody }: BlobRequest,
  status: number,
  headers: Record<string, string>,
  range: ByteRange,
): Promise<Response> {
  const body = await blobs.open(digest, range)
  const isFile = !('bytes' in body)
  onBlobBody(range.end - range.start, isFile)
  if (!isFile) return new Response(body.bytes, { status, headers })
  return new Response(Bun.file(body.file).slice(range.start, range.end), { status, headers })
}

/** Of GET only (RFC 9110, 14.2). `If-Range` that names something else asks for the whole (13.1.5). */
function rangeOf(request: Request, digest: Digest, size: number): ByteRange | undefined {
  const header = request.headers.get('range')
  if (header === null || request.method !== 'GET') return undefined
  const ifRange = request.headers.get('if-range')
  if (ifRange !== null && ifRange !== `"${digest}"`) return undefined
  const range = parseRange(header, size)
  if (range !== 'unsatisfiable') return range
  throw registryError('SIZE_INVALID', `the range ${header} is not within the ${size} bytes of the blob`, {
    status: 416,
    headers: { 'content-range': `bytes */${size}` },
  })
}
