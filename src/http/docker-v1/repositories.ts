import { unknownRepository } from '../../core/unknown.ts'
import { registryError } from '../../oci/error.ts'
import { cacheControl } from './caching.ts'
import type { V1Exchange, V1Request } from './exchange.ts'

/** Returns an empty list of images, because clients get them from the tags. */
export async function listImages(exchange: V1Exchange<'images'>): Promise<Response> {
  const { context, target } = exchange
  if ((await context.repositories.find(target.repository)) === undefined)
    throw unknownRepository(target.repository)
  return await answer(exchange, [])
}

/** Returns the tags of a repository with the ids of their images. */
export async function listTags(exchange: V1Exchange<'tags'>): Promise<Response> {
  const { context, target } = exchange
  if ((await context.repositories.find(target.repository)) === undefined)
    throw unknownRepository(target.repository)
  return await answer(exchange, await context.images.listTags(target.repository))
}

/** Returns the image id of a tag. */
export async function getTag(exchange: V1Exchange<'tag'>): Promise<Response> {
  const { context, target, path } = exchange
  const id = await context.images.findTag(target.repository, path.tag)
  if (id !== undefined) return await answer(exchange, id)
  throw registryError('MANIFEST_UNKNOWN', `tag "${path.tag}" not found in ${target.repository}`)
}

/** Responds with the value, the host of the images, and a session to pull them. */
async function answer(exchange: V1Request, value: unknown): Promise<Response> {
  const { context, request, identity, target } = exchange
  const origin = new URL(context.originOf(request))
  const session = await context.sessions.headersFor(
    request,
    identity,
    target.repository,
    origin.protocol === 'https:',
  )
  return new Response(JSON.stringify(value), {
    headers: {
      'content-type': 'application/json',
      'x-docker-endpoints': origin.host,
      // The session is for one client, so no cache may store it.
      'cache-control': 'set-cookie' in session ? 'no-store' : await cacheControl(exchange, 0),
      vary: 'Authorization, Cookie',
      ...session,
    },
  })
}
