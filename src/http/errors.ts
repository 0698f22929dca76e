import { ERROR_CODES, RegistryError, registryError } from '../oci/error.ts'

/**
 * The answer for anything thrown: what the client is told, in the specification's form. What is not the project's
 * own error is INTERNAL: its cause is for the log. HEAD answers have no body.
 */
export function toErrorResponse(error: unknown, method: string): Response {
  const known = toRegistryError(error)
  const headers = { ...known.headers, 'content-type': 'application/json' }
  if (method === 'HEAD') return new Response(null, { status: known.status, headers })
  return new Response(JSON.stringify({ errors: known.entries }), { status: known.status, headers })
}

/** What was thrown, as the project's own error. */
export function toRegistryError(error: unknown): RegistryError {
  if (error instanceof RegistryError) return error
  if (isClientGone(error)) {
    return registryError('BLOB_UPLOAD_INVALID', 'the request broke off', { status: 400, cause: error })
  }
  return registryError('INTERNAL', ERROR_CODES.INTERNAL.message, { cause: error })
}

/** Whether the client closed its connection in the middle of its request. */
export function isClientGone(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError'
}
