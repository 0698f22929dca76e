import { registryError } from '../../oci/error.ts'

/** Says that this is a registry, and that it gives tokens. */
export function ping(): Response {
  return new Response('true', {
    headers: {
      'content-type': 'application/json',
      'x-docker-registry-version': '0.6.0',
      'x-docker-registry-standalone': '0',
    },
  })
}

/** Every change by V1. */
export function refuse(): never {
  throw registryError(
    'UNSUPPORTED',
    "this registry takes nothing by Docker's V1 API, which is for pulls by old clients only: push with Docker 1.6 or newer",
  )
}
