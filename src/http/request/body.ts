import { Elysia } from 'elysia'
import { registryError } from '../../oci/error.ts'
import type { BodyReader } from './body-reader.ts'

/** The largest body of the JSON surfaces. */
const BODY_BYTES_MAX = 65_536

const PARSERS = {
  'application/json': (text: string): unknown => JSON.parse(text),
  'application/x-www-form-urlencoded': (text: string) => Object.fromEntries(new URLSearchParams(text)),
}

/**
 * Reads the bodies of a controller, of at most BODY_BYTES_MAX and within the reader's budget, and of one type: a page
 * of another site can make a browser send a form with what it remembers, but no JSON.
 */
export function body(bodies: BodyReader, type: keyof typeof PARSERS) {
  return new Elysia().onParse({ as: 'scoped' }, async ({ request, contentType }) => {
    if (request.body === null) return
    if (contentType !== type) {
      throw registryError('REQUEST_INVALID', `the Content-Type of the body must be ${type}`, { status: 415 })
    }
    return await bodies.read(request, BODY_BYTES_MAX, async (bytes) => {
      try {
        return PARSERS[type](new TextDecoder().decode(bytes))
      } catch {
        throw registryError('REQUEST_INVALID', `the body is not ${type}`)
      }
    })
  })
}
