import type { Digest } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import { type ByteRange, parseRange } from '../../oci/range.ts'
import { isNotModified } from './conditional.ts'
import type { Exchange } from './exchange.ts'

/** end-2: a blob, or a part of it. HEAD reads none of its bytes. */
export async function getBlob(exchange: Exchange<'blob'>): Promise<Response> {
  const { request, registry, repository, path, identity } = exchange
  const { digest } = path
  const asker = request.method === 'HEAD' ? identity : undefined
  const size = await registry.blobs.getSize(repository, digest, asker)
  const headers: Record<string, string> = {
    'content-type': 'application/octet-stream',
    'content-length': String(size),
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    'accept-ranges': 'bytes',
    'content-disposition': 'attachment',
  }
  if (isNotModified(request, digest)) return notModified(digest)
  const range = rangeOf(request, digest, size)
  if (range === undefined) return await respond(200, headers, { start: 0, end: size })
  headers['content-range'] = `bytes ${range.start}-${range.end - 1}/${size}`
  headers['content-length'] = String(range.end - range.start)
  return await respond(206, headers, range)

  async function respond(
    status: number,
    headers: Record<string, string>,
    range: ByteRange,
  ): Promise<Response> {
    if (request.method === 'HEAD' || range.start === range.end) return new Response(null, { status, headers })
    const body = await registry.blobs.open(digest, range)
    if ('bytes' in body) return new Response(body.bytes, { status, headers })
    exchange.onFileBody(range.end - range.start)
    return new Response(Bun.file(body.file).slice(range.start, range.end), { status, headers })
  }
}

/** end-10: hides the blob from the repository. */
export async function deleteBlob({
  registry,
  repository,
  path,
  caller,
}: Exchange<'blob'>): Promise<Response> {
  await registry.blobs.delete(caller(), repository, path.digest)
  return new Response(null, { status: 202 })
}

/** A 304 carries the same validator, and `Vary`, as the 200 would. */
export function notModified(digest: Digest, varies = false): Response {
  return new Response(null, {
    status: 304,
    headers: { etag: `"${digest}"`, 'docker-content-digest': digest, ...(varies && { vary: 'Accept' }) },
  })
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
