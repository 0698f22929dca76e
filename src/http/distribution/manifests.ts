import type { PullingClient, SentManifest } from '../../core/pulls/manifest-pulls.ts'
import type { PushedManifest } from '../../domain/registry.ts'
import { registryError } from '../../oci/error.ts'
import { parseContentType } from '../../oci/media-type.ts'
import { parseTag, type Tag } from '../../oci/reference.ts'
import { INERT } from '../inert.ts'
import type { Deed } from '../noted.ts'
import { conditionOf, isKnown } from '../request/conditions.ts'
import { notModified } from './blobs.ts'
import type { Exchange } from './exchange.ts'
import { warningOf } from './warning.ts'

/**
 * end-3: returns a manifest. By digest it is byte for byte as pushed; by tag it is in a format that the client reads. The
 * headers of a cached manifest are built once, because they are most of the cost of a Response.
 */
export function getManifest() {
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
function isSentSo(known: SentManifest, sent: SentManifest): boolean {
  const { digest, mediaType, varies, warning } = sent
  return (
    known.digest === digest &&
    known.mediaType === mediaType &&
    known.varies === varies &&
    known.warning === warning
  )
}

function clientOf({ request: { headers }, beforeLarge }: Exchange<'manifest'>): PullingClient {
  return { accept: headers.get('accept'), userAgent: () => headers.get('user-agent'), beforeLarge }
}

/** end-7: stores a manifest. */
export async function putManifest(exchange: Exchange<'manifest'>): Promise<Response> {
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
export async function deleteManifest(exchange: Exchange<'manifest'>): Promise<Response> {
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
