import { unknownRepository } from '../../core/unknown.ts'
import { registryError } from '../../oci/error.ts'
import { cacheControl } from './caching.ts'
import type { V1Exchange, V1Request } from './exchange.ts'

/** The images of a repository: an empty list, for clients take them from its tags. */
export async function listImages(exchange: V1Exchange<'images'>): Promise<Response> {
  const { context, target } = exchange
  if ((await context.repositories.find(target.repository)) === undefined)
    throw unknownRepository(target.repository)
  return await answer(exchange, [])
}

/** The tags of a repository, each with the id of its image. */
export async function listTags(exchange: V1Exchange<'tags'>): Promise<Response> {
  const { context, target } = exchange
  if ((await context.repositories.find(target.repository)) === undefined)
    throw unknownRepository(target.repository)
  return await answer(exchange, await context.images.listTags(target.repository))
}

/** The id of a tag's image. */
export async function getTag(exchange: V1Exchange<'tag'>): Promise<Response> {
  const { context, target, path } = exchange
  const id = await context.images.findTag(target.repository, path.tag)
  if (id !== undefined) return await answer(exchange, id)
  throw registryError('MANIFEST_UNKNOWN', `${target.repository} has no tag "${path.tag}"`)
}

/** With where the images are, and with what to get them. */
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
      // The session that it gives is for one client.
      'cache-control': 'set-cookie' in session ? 'no-store' : await cacheControl(exchange, 0),
      vary: 'Authorization, Cookie',
      ...session,
    },
  })
}
