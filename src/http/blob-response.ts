import type { Identity } from '../access/access.ts'
import { registryError } from '../oci/error.ts'
import { type ByteRange, type Digest, parseRange, type RepositoryName } from '../oci/reference.ts'
import type { FedBody, OpenBlob } from '../storage/blob-store.ts'
import { INERT, isKnown } from './origin.ts'

/** Where blobs are sent from. */
interface BlobSource {
  getSize(repository: RepositoryName, digest: Digest, principal?: Identity): Promise<number>
  open(repository: RepositoryName, digest: Digest): Promise<OpenBlob>
}

/** A request for a blob, in any API. */
export interface BlobRequest {
  request: Request
  blobs: BlobSource
  repository: RepositoryName
  digest: Digest
  /** The caller. A HEAD by a client that may push protects the blob from garbage collection for the grace period. */
  principal?: Identity
  /** Called for each blob body that is sent, with its size in bytes and whether it is sent from a file. */
  onBlobBody: (bytes: number, isFile: boolean) => void
}

/**
 * Responds with a blob, or the requested range of it (RFC 9110, 14). HEAD does not open the blob.
 *
 * @param more further headers, also of a 304
 * @throws RegistryError BLOB_UNKNOWN or NAME_UNKNOWN, and SIZE_INVALID for a range outside the blob
 */
export async function blobResponse(
  { request, blobs, repository, digest, principal, onBlobBody }: BlobRequest,
  more: Record<string, string> = {},
): Promise<Response> {
  const names = { 'docker-content-digest': digest, etag: `"${digest}"`, ...more }
  if (request.method === 'HEAD') {
    const size = await blobs.getSize(repository, digest, principal)
    if (isKnown(request, digest)) return new Response(null, { status: 304, headers: names })
    return new Response(null, { headers: headersOf(size, names) })
  }
  if (isKnown(request, digest)) {
    await blobs.getSize(repository, digest)
    return new Response(null, { status: 304, headers: names })
  }
  const blob = await blobs.open(repository, digest)
  const headers = headersOf(blob.size, names)
  const range = rangeOf(request, digest, blob.size)
  // A server may ignore a range (RFC 9110, 14.2).
  if (range === undefined || blob.isSendable?.(range) === false) {
    return new Response(await bodyOf(blob, { start: 0, end: blob.size }, onBlobBody), { headers })
  }
  headers['content-range'] = `bytes ${range.start}-${range.end - 1}/${blob.size}`
  headers['content-length'] = String(range.end - range.start)
  return new Response(await bodyOf(blob, range, onBlobBody), { status: 206, headers })
}

/** Returns a function that sends a blob to a browser or a script. Browsers never run it, whatever it is. */
export function sendBlob({ blobs }: { blobs: BlobSource }, onBlobBody: BlobRequest['onBlobBody']) {
  return (request: Request, repository: RepositoryName, digest: Digest) =>
    blobResponse({ request, blobs, repository, digest, onBlobBody }, INERT)
}

function headersOf(size: number, names: Record<string, string>): Record<string, string> {
  return {
    'content-type': 'application/octet-stream',
    'content-length': String(size),
    'accept-ranges': 'bytes',
    'content-disposition': 'attachment',
    'x-content-type-options': 'nosniff',
    ...names,
  }
}

async function bodyOf(blob: OpenBlob, range: ByteRange, onBlobBody: BlobRequest['onBlobBody']) {
  if (range.start === range.end) return null
  const body = await blob.read(range)
  onBlobBody(range.end - range.start, 'file' in body)
  if ('bytes' in body) return body.bytes
  if ('file' in body) return Bun.file(body.file).slice(body.range.start, body.range.end)
  return streamOf(body)
}

/**
 * Returns a stream that the body writes to. Bun (1.4.5) sends it chunked and drops its Content-Length. A direct stream's
 * `write` copies the bytes; it returns a promise while the client is slow, and 0 after a disconnect.
 */
export function streamOf(body: FedBody): ReadableStream {
  let hasLeft = false
  return new ReadableStream({
    type: 'direct',
    async pull(controller) {
      const isTaken = (written: number) => written !== 0 && !hasLeft
      const write = (bytes: Uint8Array) => {
        const written = controller.write(bytes)
        return typeof written === 'number' ? isTaken(written) : written.then(isTaken)
      }
      try {
        await body.feed({ write })
      } catch {
        // A rejection without a reason resets the connection; Bun prints any other one on stderr.
        return Promise.reject()
      }
      controller.close()
    },
    cancel() {
      hasLeft = true
    },
  })
}

/** Parses the range of a GET (RFC 9110, 14.2). An `If-Range` that does not match asks for the whole blob (13.1.5). */
function rangeOf(request: Request, digest: Digest, size: number): ByteRange | undefined {
  const header = request.headers.get('range')
  if (header === null || request.method !== 'GET') return undefined
  const ifRange = request.headers.get('if-range')
  if (ifRange !== null && ifRange !== `"${digest}"`) return undefined
  const range = parseRange(header, size)
  if (range !== 'unsatisfiable') return range
  throw registryError('SIZE_INVALID', `the range ${header} is outside the blob of ${size} bytes`, {
    status: 416,
    headers: { 'content-range': `bytes */${size}` },
  })
}
