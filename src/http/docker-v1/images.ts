import type { V1Image } from '../../core/pulls/v1-images.ts'
import { registryError } from '../../oci/error.ts'
import { blobResponse } from '../blob-response.ts'
import { cacheControl } from './caching.ts'
import type { V1Exchange, V1Request } from './exchange.ts'

/** How long caches may keep an image, in seconds: it never changes, but it can be deleted. */
const CACHED_SECONDS = 3600

/** Returns the JSON of an image. */
export async function getJson(exchange: V1Exchange<'json'>): Promise<Response> {
  const { json, size } = await exchange.context.images.json(imageOf(exchange))
  return await answer(exchange, json, { 'x-docker-size': String(size) })
}

/** Returns the ids of an image and its ancestors. */
export async function getAncestry(exchange: V1Exchange<'ancestry'>): Promise<Response> {
  const { context, request, target, identity } = exchange
  const image = imageOf(exchange)
  const ids = await context.images.ancestry(image)
  // Every pull starts with this request, so it is what counts. It names an image, not a tag.
  if (request.method === 'GET') {
    const { repository } = target
    const { account } = identity
    context.usage.pulled({ repository, tag: undefined, digest: image.manifest.digest, account })
  }
  return await answer(exchange, JSON.stringify(ids))
}

/** Returns the layer of an image, or a range of it: a tar archive, possibly gzipped. */
export async function getLayer(exchange: V1Exchange<'layer'>): Promise<Response> {
  const { context, request } = exchange
  const image = imageOf(exchange)
  const digest = await context.images.layer(image)
  const { blobs, onBlobBody } = context
  const headers = {
    'cache-control': await cacheControl(exchange, CACHED_SECONDS),
    vary: 'Authorization, Cookie',
  }
  return await blobResponse({ request, blobs, repository: image.repository, digest, onBlobBody }, headers)
}

async function answer(
  exchange: V1Request,
  text: string,
  more: Record<string, string> = {},
): Promise<Response> {
  return new Response(exchange.request.method === 'HEAD' ? null : text, {
    headers: {
      'content-type': 'application/json',
      'content-length': String(Buffer.byteLength(text)),
      'cache-control': await cacheControl(exchange, CACHED_SECONDS),
      vary: 'Authorization, Cookie',
      ...more,
    },
  })
}

/** Returns the image of the exchange, which every row with an image id has. */
function imageOf({ target }: V1Request): V1Image {
  if (target.image !== undefined) return target.image
  throw registryError('MANIFEST_UNKNOWN', 'image not found')
}
