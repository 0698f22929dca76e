import { Elysia } from 'elysia'
import { registryError } from '../../oci/error.ts'
import { isNestedDeep, JSON_LEVELS_MAX } from '../../oci/json-depth.ts'
import { SMALL_BODY_BYTES_MAX } from './bodies.ts'
import type { BodyReader, BodySource } from './body-reader.ts'

const PARSERS = {
  'application/json': parseJson,
  'application/x-www-form-urlencoded': (bytes: Uint8Array): unknown =>
    Object.fromEntries(new URLSearchParams(new TextDecoder().decode(bytes))),
}

/**
 * Reads a body of at most SMALL_BODY_BYTES_MAX and of one type. Returns undefined without a body. Requiring a type
 * prevents cross-site requests: another site can make a browser send a form with its cookies, but not JSON.
 */
export async function readBody(
  bodies: BodyReader,
  source: BodySource,
  type: keyof typeof PARSERS,
  contentType: string,
): Promise<unknown> {
  if (source.request.body === null) return undefined
  if (contentType !== type) {
    throw registryError('REQUEST_INVALID', `the Content-Type of the body must be ${type}`, { status: 415 })
  }
  return await bodies.read(source, SMALL_BODY_BYTES_MAX, async (bytes) => {
    try {
      return PARSERS[type](bytes)
    } catch (error) {
      throw registryError('REQUEST_INVALID', `the body is not ${type}`, { cause: error })
    }
  })
}

/** Reads forms that contain the credentials of the request. */
export function forms(bodies: BodyReader, sourceOf: (request: Request) => BodySource) {
  return new Elysia().onParse({ as: 'scoped' }, ({ request, contentType }) =>
    readBody(bodies, sourceOf(request), 'application/x-www-form-urlencoded', contentType),
  )
}

/** Parses JSON of limited depth, so that recursive readers are safe. */
export function parseJson(bytes: Uint8Array): unknown {
  if (isNestedDeep(bytes)) throw new Error(`deeper than ${JSON_LEVELS_MAX} levels`)
  return JSON.parse(new TextDecoder().decode(bytes))
}
