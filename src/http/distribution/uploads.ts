import { OffsetError, type UploadBody } from '../../domain/blob-body.ts'
import type { UploadState, Uploads } from '../../domain/registry.ts'
import { type DigestAlgorithm, parseDigest, tryParseAlgorithm } from '../../oci/digest.ts'
import { RegistryError, registryError } from '../../oci/error.ts'
import { formatUploadRange, parseContentRange } from '../../oci/range.ts'
import { type RepositoryName, tryParseRepositoryName } from '../../oci/reference.ts'
import type { Exchange } from './exchange.ts'

/** end-4 and end-11: starts an upload, or pushes or mounts a blob in one request. */
export async function postUpload(exchange: Exchange<'uploads'>): Promise<Response> {
  const { registry, repository, path, query, caller, identity, pushes } = exchange
  pushes.count(caller(), repository)
  const mount = query.get('mount')
  if (mount !== null) {
    const digest = parseDigest(mount)
    const from = query.get('from')
    const source = from === null ? undefined : tryParseRepositoryName(from)
    const isMounted =
      (from === null || source !== undefined) &&
      (await registry.blobs.mount(caller(), identity, { repository, digest, from: source }))
    if (isMounted) return created(path.name, digest)
  }
  const digest = mount === null ? query.get('digest') : null
  if (digest !== null) {
    const parsed = parseDigest(digest)
    const size = await uploadsOf(exchange).put(caller(), repository, parsed, bodyOf(exchange))
    pushes.count(caller(), repository, size)
    return created(path.name, parsed)
  }
  const state = await uploadsOf(exchange).start(repository, algorithmOf(query))
  return accepted(path.name, state)
}

/** end-5: appends a chunk. */
export async function patchUpload(exchange: Exchange<'upload'>): Promise<Response> {
  const { path, repository } = exchange
  return await inOrder(path.name, path.id, async () =>
    accepted(path.name, await uploadsOf(exchange).append(repository, path.id, chunkOf(exchange))),
  )
}

/** end-6: appends the last chunk, if any, and completes the upload. */
export async function putUpload(exchange: Exchange<'upload'>): Promise<Response> {
  const { path, repository, query, caller, pushes } = exchange
  const text = query.get('digest')
  if (text === null)
    throw registryError(
      'DIGEST_INVALID',
      'the "digest" parameter is missing: it is required to complete an upload',
    )
  const digest = parseDigest(text)
  return await inOrder(path.name, path.id, async () => {
    const size = await uploadsOf(exchange).commit(caller(), repository, path.id, digest, chunkOf(exchange))
    pushes.count(caller(), repository, size)
    return created(path.name, digest)
  })
}

/** end-13: returns how many bytes of the upload were received. */
export async function getUpload(exchange: Exchange<'upload'>): Promise<Response> {
  const { path, repository } = exchange
  const state = await uploadsOf(exchange).get(repository, path.id)
  return new Response(null, { status: 204, headers: stateHeaders(path.name, state) })
}

/** end-14: cancels the upload. */
export async function deleteUpload(exchange: Exchange<'upload'>): Promise<Response> {
  await uploadsOf(exchange).cancel(exchange.repository, exchange.path.id)
  return new Response(null, { status: 204 })
}

function uploadsOf({ registry }: Pick<Exchange, 'registry'>): Uploads {
  if (registry.uploads) return registry.uploads
  throw registryError(
    'UNSUPPORTED',
    'this repository caches an upstream and cannot be pushed to: push to the upstream',
  )
}

function created(name: RepositoryName, digest: string): Response {
  const headers = { location: `/v2/${name}/blobs/${digest}`, 'docker-content-digest': digest }
  return new Response(null, { status: 201, headers })
}

function accepted(name: RepositoryName, state: UploadState): Response {
  return new Response(null, { status: 202, headers: stateHeaders(name, state) })
}

function stateHeaders(name: RepositoryName, { id, size }: UploadState): Record<string, string> {
  return {
    location: `/v2/${name}/blobs/uploads/${id}`,
    range: formatUploadRange(size),
    'docker-upload-uuid': id,
  }
}

/** Responds to a chunk out of order with 416 and the current range. The upload stays usable. */
async function inOrder(name: RepositoryName, id: string, work: () => Promise<Response>): Promise<Response> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof OffsetError)) throw error
    throw new RegistryError([{ code: 'BLOB_UPLOAD_INVALID', message: error.message }], {
      status: 416,
      headers: stateHeaders(name, { id, size: error.size }),
    })
  }
}

/** What a body is made of. */
type Sent = Pick<Exchange, 'request' | 'identity' | 'source'>

function chunkOf(exchange: Sent): UploadBody {
  const { request } = exchange
  const header = request.headers.get('content-range')
  if (header === null) return bodyOf(exchange)
  const range = parseContentRange(header)
  if (range === undefined) {
    throw registryError(
      'BLOB_UPLOAD_INVALID',
      `invalid Content-Range ${JSON.stringify(header)}: use "<start>-<end>"`,
    )
  }
  checkLength(request, range)
  return bodyOf(exchange, range.start)
}

/** Also accepts the byte after the last one as the end, which some clients send. */
function checkLength(request: Request, { start, last }: { start: number; last: number }): void {
  const length = request.headers.get('content-length')
  if (length === null || last - start + 1 === Number(length) || last - start === Number(length)) return
  throw registryError(
    'SIZE_INVALID',
    `the Content-Range ${start}-${last} does not match the Content-Length of ${length}`,
  )
}

/** Reads the body only when the store asks for it, so that it takes no memory until then. */
function bodyOf({ request, identity, source }: Sent, offset?: number): UploadBody {
  return {
    // Clients behind one address are told apart by their accounts.
    client: () => identity.account ?? source().client ?? '',
    get stream() {
      return request.body as ReadableStream<Uint8Array> | null
    },
    bytes: () => request.bytes(),
    length: lengthOf(request.headers),
    offset,
    ownsChunks: true,
  }
}

/** Reports whether the request has a body: it needs a length or a transfer coding (RFC 9112, 6.3). */
function lengthOf(headers: Headers): number | undefined {
  const length = headers.get('content-length')
  if (length !== null) return Number(length)
  return headers.has('transfer-encoding') ? undefined : 0
}

function algorithmOf(query: URLSearchParams): DigestAlgorithm {
  const name = query.get('digest-algorithm')
  if (name === null) return 'sha256'
  const algorithm = tryParseAlgorithm(name)
  if (algorithm !== undefined) return algorithm
  throw registryError(
    'DIGEST_INVALID',
    `unsupported digest algorithm ${JSON.stringify(name)}: use sha256 or sha512`,
  )
}
