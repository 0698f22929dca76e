import { blobResponse } from '../http/blob-response.ts'
import { conditionOf, INERT, isKnown } from '../http/origin.ts'
import type { Deed } from '../http/request-log.ts'
import { RegistryError, registryError } from '../oci/error.ts'
import { MEDIA_TYPE, parseContentType } from '../oci/manifest.ts'
import {
  type Digest,
  type DigestAlgorithm,
  formatUploadRange,
  parseContentRange,
  parseDigest,
  parseTag,
  type RepositoryName,
  type Tag,
  tryParseAlgorithm,
  tryParseDigest,
  tryParseRepositoryName,
} from '../oci/reference.ts'
import { OffsetError, type UploadBody } from '../storage/blob-store.ts'
import type { Exchange, Row } from './dispatch.ts'
import type { PullingClient, SentManifest } from './pulls.ts'
import type { Listing, Page, PushedManifest, UploadState, Uploads } from './registry.ts'

const READ: Row['methods'] = ['GET', 'HEAD']

/** Every endpoint of the distribution-spec, in the order of its table of endpoints. Start reading here. */
export function routes(): readonly Row[] {
  return [
    { id: 'v2GetBase', methods: READ, path: 'base', access: 'base', handle: getBase },
    { id: 'v2GetBlob', methods: READ, path: 'blob', access: 'pull', handle: getBlob },
    { id: 'v2GetManifest', methods: READ, path: 'manifest', access: 'pull', handle: getManifest() },
    { id: 'v2StartUpload', methods: ['POST'], path: 'uploads', access: 'push', handle: postUpload },
    { id: 'v2AppendUpload', methods: ['PATCH'], path: 'upload', access: 'push', handle: patchUpload },
    { id: 'v2CompleteUpload', methods: ['PUT'], path: 'upload', access: 'push', handle: putUpload },
    { id: 'v2PutManifest', methods: ['PUT'], path: 'manifest', access: 'push', handle: putManifest },
    { id: 'v2ListTags', methods: READ, path: 'tags', access: 'pull', handle: listTags },
    {
      id: 'v2DeleteManifest',
      methods: ['DELETE'],
      path: 'manifest',
      access: 'delete',
      handle: deleteManifest,
    },
    { id: 'v2DeleteBlob', methods: ['DELETE'], path: 'blob', access: 'delete', handle: deleteBlob },
    { id: 'v2ListReferrers', methods: READ, path: 'referrers', access: 'pull', handle: listReferrers },
    { id: 'v2GetUpload', methods: READ, path: 'upload', access: 'push', handle: getUpload },
    { id: 'v2CancelUpload', methods: ['DELETE'], path: 'upload', access: 'push', handle: deleteUpload },
    { id: 'v2ListRepositories', methods: READ, path: 'catalog', access: 'catalog', handle: listRepositories },
  ]
}

/** end-1: confirms that this registry implements the distribution-spec. */
function getBase(): Response {
  return Response.json({})
}

/**
 * end-3: returns a manifest. By digest it is byte for byte as pushed; by tag it is in a format that the client reads. The
 * headers of a cached manifest are built once, because they are most of the cost of a Response.
 */
function getManifest() {
  const remembered = new WeakMap<Uint8Array, { sent: SentManifest; headers: Headers }>()
  const headersFor = (sent: SentManifest): Headers => {
    const known = remembered.get(sent.bytes)
    if (known !== undefined && isSentSo(known.sent, sent)) return known.headers
    const headers = headersOf(sent)
    remembered.set(sent.bytes, { sent, headers })
    return headers
  }
  return async (exchange: Exchange<'manifest'>): Promise<Response> => {
    const { request, registry, pulls, repository, path, identity, traffic } = exchange
    const sent = await pulls.get(repository, path.reference, clientOf(exchange), identity)
    const { digest, bytes, varies } = sent
    if (isKnown(request, digest)) return notModified(digest, varies)
    const headers = headersFor(sent)
    const pull = { repository, tag: path.reference.tag, digest, account: identity.account }
    if (request.method === 'HEAD') {
      registry.usage.resolved(pull)
      return new Response(null, { headers })
    }
    registry.usage.pulled(pull)
    traffic.sent += bytes.length
    return new Response(bytes, { headers })
  }
}

function headersOf({ digest, mediaType, bytes, varies, warning }: SentManifest): Headers {
  return new Headers({
    ...INERT,
    'content-type': mediaType,
    'content-length': String(bytes.length),
    'docker-content-digest': digest,
    etag: `"${digest}"`,
    ...(varies && { vary: 'Accept' }),
    ...warningOf(warning),
  })
}

/** Reports whether cached headers fit: the same bytes can be requested by another name or by another client. */
function isSentSo(a: SentManifest, b: SentManifest): boolean {
  const isSame = a.digest === b.digest && a.mediaType === b.mediaType
  return isSame && a.varies === b.varies && a.warning === b.warning
}

function clientOf({ request: { headers }, beforeLarge }: Exchange<'manifest'>): PullingClient {
  return { accept: headers.get('accept'), userAgent: () => headers.get('user-agent'), beforeLarge }
}

/** end-7: stores a manifest. */
async function putManifest(exchange: Exchange<'manifest'>): Promise<Response> {
  const { request, registry, repository, path, caller, limits, traffic, bodies, source } = exchange
  const tags = tagsOf(exchange)
  const pushed = await bodies.read(source(), limits.manifestBytesMax, (bytes) => {
    traffic.received += bytes.length
    return registry.manifests.put(caller(), {
      repository,
      reference: path.reference,
      tags,
      contentType: contentTypeOf(request),
      bytes,
      precondition: conditionOf(request, true),
    })
  })
  registry.usage.pushed(repository)
  exchange.noted.deed = pushOf(exchange, pushed, tags)
  return new Response(null, {
    status: 201,
    headers: {
      location: `/v2/${path.name}/manifests/${pushed.digest}`,
      'docker-content-digest': pushed.digest,
      ...(pushed.subject === undefined ? {} : { 'oci-subject': pushed.subject }),
      ...(tags.length === 0 ? {} : { 'oci-tag': tags.join(', ') }),
    },
  })
}

/** Returns what the log says about a push. Its bytes and its time include the uploads before the manifest. */
function pushOf(exchange: Exchange<'manifest'>, { digest, size }: PushedManifest, tags: Tag[]): Deed {
  const { repository, path, pushes, caller } = exchange
  const { bytes = 0, ...began } = pushes.take(caller(), repository) ?? {}
  const { tag } = path.reference
  const pushedTags = tag === undefined ? tags : [tag]
  return { act: 'pushed', repository, tags: pushedTags, digest, bytes: bytes + size, ...began }
}

/** end-9: deletes a manifest and its tags, or one tag; they can be restored. */
async function deleteManifest(exchange: Exchange<'manifest'>): Promise<Response> {
  const { request, registry, repository, path, caller, noted } = exchange
  await registry.manifests.delete(caller(), repository, path.reference, conditionOf(request, true))
  const { tag, digest } = path.reference
  noted.deed = { act: 'deleted', repository, ...(tag === undefined ? { digest } : { tags: [tag] }) }
  return new Response(null, { status: 202 })
}

/** Parses the tags of a push by digest (end-7b). */
function tagsOf({ query, path, limits }: Exchange<'manifest'>): Tag[] {
  const tags = new Set(query.getAll('tag').map(parseTag))
  if (tags.size > 0 && path.reference.tag !== undefined) {
    throw registryError('MANIFEST_INVALID', 'the "tag" parameter is only allowed in a push by digest')
  }
  if (tags.size > limits.tagsPerPushMax) {
    const message = `too many tags in one push: ${tags.size}, at most ${limits.tagsPerPushMax} are allowed`
    throw registryError('MANIFEST_INVALID', message, { status: 414 })
  }
  return [...tags]
}

function contentTypeOf(request: Request): string | undefined {
  const header = request.headers.get('content-type')
  if (header === null || header === '') return undefined
  const type = parseContentType(header)
  if (type !== undefined) return type
  throw registryError('MANIFEST_INVALID', `invalid Content-Type ${JSON.stringify(header)}: not a media type`)
}

/** end-2: returns a blob, or a range of it. HEAD does not read it. */
function getBlob({ request, registry, repository, path, identity, onBlobBody }: Exchange<'blob'>) {
  const { digest } = path
  return blobResponse({
    request,
    blobs: registry.blobs,
    repository,
    digest,
    principal: identity,
    onBlobBody,
  })
}

/** end-10: deletes the blob from the repository; it can be restored. */
async function deleteBlob({ registry, repository, path, caller }: Exchange<'blob'>): Promise<Response> {
  await registry.blobs.delete(caller(), repository, path.digest)
  return new Response(null, { status: 202 })
}

/** Returns a 304 with the validator and `Vary` of the 200 (RFC 9110, 15.4.5). */
function notModified(digest: Digest, varies = false): Response {
  return new Response(null, {
    status: 304,
    headers: { etag: `"${digest}"`, 'docker-content-digest': digest, ...(varies && { vary: 'Accept' }) },
  })
}

/** end-4 and end-11: starts an upload, or pushes or mounts a blob in one request. */
async function postUpload(exchange: Exchange<'uploads'>): Promise<Response> {
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
async function patchUpload(exchange: Exchange<'upload'>): Promise<Response> {
  const { path, repository } = exchange
  return await inOrder(path.name, path.id, async () =>
    accepted(path.name, await uploadsOf(exchange).append(repository, path.id, chunkOf(exchange))),
  )
}

/** end-6: appends the last chunk, if any, and completes the upload. */
async function putUpload(exchange: Exchange<'upload'>): Promise<Response> {
  const { path, repository, query, caller, pushes } = exchange
  const text = query.get('digest')
  const missing = 'the "digest" parameter is missing: it is required to complete an upload'
  if (text === null) throw registryError('DIGEST_INVALID', missing)
  const digest = parseDigest(text)
  return await inOrder(path.name, path.id, async () => {
    const size = await uploadsOf(exchange).commit(caller(), repository, path.id, digest, chunkOf(exchange))
    pushes.count(caller(), repository, size)
    return created(path.name, digest)
  })
}

/** end-13: returns how many bytes of the upload were received. */
async function getUpload(exchange: Exchange<'upload'>): Promise<Response> {
  const { path, repository } = exchange
  const state = await uploadsOf(exchange).get(repository, path.id)
  return new Response(null, { status: 204, headers: stateHeaders(path.name, state) })
}

/** end-14: cancels the upload. */
async function deleteUpload(exchange: Exchange<'upload'>): Promise<Response> {
  await uploadsOf(exchange).cancel(exchange.repository, exchange.path.id)
  return new Response(null, { status: 204 })
}

function uploadsOf({ registry }: Pick<Exchange, 'registry'>): Uploads {
  if (registry.uploads) return registry.uploads
  const message = 'this repository caches an upstream and cannot be pushed to: push to the upstream'
  throw registryError('UNSUPPORTED', message)
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

function chunkOf(exchange: Omit<Exchange, 'path'>): UploadBody {
  const { request } = exchange
  const header = request.headers.get('content-range')
  if (header === null) return bodyOf(exchange)
  const range = parseContentRange(header)
  if (range === undefined) {
    const message = `invalid Content-Range ${JSON.stringify(header)}: use "<start>-<end>"`
    throw registryError('BLOB_UPLOAD_INVALID', message)
  }
  const { start, last } = range
  const length = request.headers.get('content-length')
  // Some clients send the byte after the last one as the end.
  if (length === null || last - start + 1 === Number(length) || last - start === Number(length))
    return bodyOf(exchange, start)
  const message = `the Content-Range ${start}-${last} does not match the Content-Length of ${length}`
  throw registryError('SIZE_INVALID', message)
}

/** Reads the body only when the store asks for it, so that it takes no memory until then. */
function bodyOf({ request, identity, source }: Omit<Exchange, 'path'>, offset?: number): UploadBody {
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
  const message = `unsupported digest algorithm ${JSON.stringify(name)}: use sha256 or sha512`
  throw registryError('DIGEST_INVALID', message)
}

/** end-8: lists the tags of a repository, in byte order. */
async function listTags(exchange: Exchange<'tags'>): Promise<Response> {
  const { registry, repository, path } = exchange
  const page = pageOf(exchange)
  const listing = await registry.tags.list(repository, page)
  const headers = listHeaders(exchange, page, listing)
  return Response.json({ name: path.name, tags: listing.items }, { headers })
}

/** Docker's catalog: lists the repositories that the caller may pull from. */
async function listRepositories(exchange: Exchange<'catalog'>): Promise<Response> {
  const page = pageOf(exchange)
  const listing = await exchange.registry.repositories.list(exchange.identity, page)
  return Response.json({ repositories: listing.items }, { headers: listHeaders(exchange, page, listing) })
}

function pageOf({ query, limits }: Pick<Exchange, 'query' | 'limits'>): Page {
  const n = query.get('n')
  if (n !== null && !/^\d{1,9}$/.test(n)) {
    throw registryError('UNSUPPORTED', `invalid n ${JSON.stringify(n)}: not a number`, { status: 400 })
  }
  return {
    last: query.get('last') ?? '',
    limit: Math.min(n === null ? limits.pageMax : Number(n), limits.pageMax),
  }
}

/** Returns the link to the next page (RFC 8288), and a warning. */
function listHeaders(
  { query, request }: Pick<Exchange, 'query' | 'request'>,
  page: Page,
  { items, more, next: last = items.at(-1), warning }: Listing<string>,
): Record<string, string> {
  const headers = warningOf(warning)
  if (!more || last === undefined) return headers
  const next = new URLSearchParams(query)
  next.set('n', String(page.limit))
  next.set('last', last)
  return { ...headers, link: `<${new URL(request.url).pathname}?${next}>; rel="next"` }
}

/** end-12: returns an index of the manifests with this subject. */
async function listReferrers(exchange: Exchange<'referrers'>): Promise<Response> {
  const { registry, repository, path, query } = exchange
  const artifactType = query.get('artifactType') || undefined
  const last = tryParseDigest(query.get('last') ?? '')
  const found = await registry.referrers.list(repository, path.digest, { artifactType, last })
  const { items, more, next: cursor, warning } = found
  const headers: Record<string, string> = { 'content-type': MEDIA_TYPE.ociIndex, ...warningOf(warning) }
  if (artifactType !== undefined) headers['oci-filters-applied'] = 'artifactType'
  const end = cursor ?? items.at(-1)?.digest
  if (more && end !== undefined) {
    const next = new URLSearchParams(artifactType === undefined ? {} : { artifactType })
    next.set('last', end)
    headers.link = `</v2/${path.name}/referrers/${path.digest}?${next}>; rel="next"`
  }
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: items }
  return new Response(JSON.stringify(index), { headers })
}

/** Returns the header of a warning that persists (RFC 7234, 5.5.7). */
function warningOf(warning: string | undefined): Record<string, string> {
  return warning === undefined ? {} : { warning: `299 - "${warning}"` }
}
