/**
 * The error codes of the distribution-spec ("Error Codes"), with the default HTTP status and message of each.
 * MANIFEST_UNVERIFIED and TAG_INVALID are older and come from Docker schema 1. The last ones are cay's own: INTERNAL is
 * for 5xx responses, for which the specification has no code, and the others are for the JSON APIs.
 */
export const ERROR_CODES = {
  BLOB_UNKNOWN: { status: 404, message: 'blob unknown to the registry' },
  BLOB_UPLOAD_INVALID: { status: 400, message: 'blob upload invalid' },
  BLOB_UPLOAD_UNKNOWN: { status: 404, message: 'blob upload unknown to the registry' },
  DIGEST_INVALID: { status: 400, message: 'the digest is malformed or does not match the content' },
  MANIFEST_BLOB_UNKNOWN: {
    status: 400,
    message: 'the manifest references content unknown to the repository',
  },
  MANIFEST_INVALID: { status: 400, message: 'manifest invalid' },
  MANIFEST_UNKNOWN: { status: 404, message: 'manifest unknown to the repository' },
  MANIFEST_UNVERIFIED: { status: 400, message: 'manifest signature verification failed' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to the registry' },
  SIZE_INVALID: { status: 400, message: 'the size does not match the content' },
  TAG_INVALID: { status: 400, message: 'the tag in the manifest does not match the tag in the request' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  UNSUPPORTED: { status: 405, message: 'the operation is unsupported' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  UNAVAILABLE: { status: 503, message: 'the upstream is unreachable and the content is not cached' },
  NOT_FOUND: { status: 404, message: 'not found' },
  CONFLICT: { status: 409, message: 'conflicts with the current state' },
  PRECONDITION_FAILED: { status: 412, message: 'a precondition of the request was not met' },
  REQUEST_INVALID: { status: 400, message: 'invalid request' },
  INTERNAL: { status: 500, message: 'internal error; the server log has the cause under this request id' },
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** One error, as the client sees it. */
export interface ErrorEntry {
  code: ErrorCode
  message: string
  detail?: unknown
}

/** An error that a client may see, in `entries` and `status`; `cause` is only logged. */
export class RegistryError extends Error {
  override name = 'RegistryError'
  readonly entries: readonly ErrorEntry[]
  readonly status: number
  /** Response headers for this error (`Retry-After`, `Content-Range`, `Allow`, ...). */
  readonly headers: Readonly<Record<string, string>>

  constructor(entries: readonly ErrorEntry[], options: ErrorOptions = {}) {
    super(entries.map((e) => `${e.code}: ${e.message}`).join('; '), { cause: options.cause })
    this.entries = entries
    this.status = options.status ?? ERROR_CODES[entries[0]?.code ?? 'INTERNAL'].status
    this.headers = options.headers ?? {}
  }
}

export interface ErrorOptions {
  status?: number
  headers?: Record<string, string>
  detail?: unknown
  cause?: unknown
}

/** Returns an error with one entry. `message` says what failed, which value, and what to do. */
export function registryError(code: ErrorCode, message?: string, options: ErrorOptions = {}): RegistryError {
  const entry: ErrorEntry = { code, message: message ?? ERROR_CODES[code].message }
  if (options.detail !== undefined) entry.detail = options.detail
  return new RegistryError([entry], options)
}

/** Returns TOOMANYREQUESTS. A status of 503 says that the server is busy, whoever asks. */
export function tooManyRequests(
  message: string,
  retrySeconds: number,
  status: 429 | 503 = 429,
): RegistryError {
  return registryError('TOOMANYREQUESTS', message, { status, headers: { 'retry-after': `${retrySeconds}` } })
}

/** Returns the error for a full disk. The request failed; stored content is intact. */
export function diskFull(cause: unknown): RegistryError {
  return registryError('INTERNAL', "the registry's disk is full: free some space and try again", {
    status: 507,
    cause,
  })
}

/** Whether an error is that of a full disk. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof RegistryError && error.status === 507
}
