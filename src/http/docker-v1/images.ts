import type { V1Image } from '../../core/pulls/v1-images.ts'
import { registryError } from '../../oci/error.ts'
import { blobResponse } from '../blob-response.ts'
import { cacheControl } from './caching.ts'
import type { V1Exchange, V1Request } from './exchange.ts'

/** An image never changes, but it may be deleted. */
const CACHED_SECONDS = 3600

/** The JSON of an image. */
export async function getJson(exchange: V1Exchange<'json'>): Promise<Response> {
  const { json, size } = await exchange.context.images.json(imageOf(exchange))
  return await answer(exchange, json, { 'x-docker-size': String(size) })
}

/** The ids of an image and of all below it. */
export async function getAncestry(exchange: V1Exchange<'ancestry'>): Promise<Response> {
  const { context, request, target } = exchange
  const ids = await context.images.ancestry(imageOf(exchange))
  // A pull begins with this.
  if (request.method === 'GET') context.usage.pulled(target.repository, undefined)
  return await answer(exchange, JSON.stringify(ids))
}

/** The layer of an image, or a part of it: an archive, compressed by gzip or not. */
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

/** The rows of images are reached only with one. */
function imageOf({ target }: V1Request): V1Image {
  if (target.image !== undefined) return target.image
  throw registryError('MANIFEST_UNKNOWN', 'there is no such image')
}
