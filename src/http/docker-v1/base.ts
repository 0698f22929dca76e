import { registryError } from '../../oci/error.ts'

/** Confirms that this is a V1 registry that issues tokens. */
export function ping(): Response {
  return new Response('true', {
    headers: {
      'content-type': 'application/json',
      'x-docker-registry-version': '0.6.0',
      'x-docker-registry-standalone': '0',
    },
  })
}

/** Refuses every push over V1. */
export function refuse(): never {
  throw registryError(
    'UNSUPPORTED',
    "this registry supports Docker's V1 API for pulls only: push with Docker 1.6 or newer",
  )
}
