/**
 * The error codes of the distribution-spec ("Error Codes"), in one table: the HTTP status that each one
 * has unless the place that throws it says another, and the message that a client reads by default.
 * MANIFEST_UNVERIFIED and TAG_INVALID are older, of Docker schema 1. The last ones are ours: INTERNAL for 5xx answers,
 * where the specification names no code, and the others for the JSON surfaces, which it does not have.
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
  MANIFEST_UNVERIFIED: { status: 400, message: 'the signature of the manifest does not verify' },
  NAME_INVALID: { status: 400, message: 'invalid repository name' },
  NAME_UNKNOWN: { status: 404, message: 'repository name not known to the registry' },
  SIZE_INVALID: { status: 400, message: 'the size does not match the content' },
  TAG_INVALID: { status: 400, message: 'the tag of the manifest is not the tag of the request' },
  UNAUTHORIZED: { status: 401, message: 'authentication required' },
  DENIED: { status: 403, message: 'requested access to the resource is denied' },
  UNSUPPORTED: { status: 405, message: 'the operation is unsupported' },
  TOOMANYREQUESTS: { status: 429, message: 'too many requests' },
  UNAVAILABLE: { status: 503, message: 'the upstream cannot be reached, and the cache does not have this' },
  NOT_FOUND: { status: 404, message: 'there is nothing of this name' },
  CONFLICT: { status: 409, message: 'what is here already stands against it' },
  PRECONDITION_FAILED: { status: 412, message: 'it is not as the condition of the request expects it' },
  REQUEST_INVALID: { status: 400, message: 'the request is not as the API describes it' },
  INTERNAL: { status: 500, message: 'the registry failed; its log names the cause under this request id' },
} as const

export type ErrorCode = keyof typeof ERROR_CODES

/** What a client is told of one thing that went wrong. */
export interface ErrorEntry {
  code: ErrorCode
  message: string
  detail?: unknown
}

/**
 * The project's own error. The client gets `entries` and `status`; `cause` is for the log only.
 * Most errors have one entry; a manifest that misses many blobs has one for each.
 */
export class RegistryError extends Error {
  override name = 'RegistryError'
  readonly entries: readonly ErrorEntry[]
  readonly status: number
  /** Headers of the answer that belong to the error (`Retry-After`, `Content-Range`, `Allow`, ...). */
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

/** Makes the error for one code; `message` says what was wrong and what to do. */
export function registryError(code: ErrorCode, message?: string, options: ErrorOptions = {}): RegistryError {
  const entry: ErrorEntry = { code, message: message ?? ERROR_CODES[code].message }
  if (options.detail !== undefined) entry.detail = options.detail
  return new RegistryError([entry], options)
}

/** The server's disk is full: what was asked for failed, nothing that was stored is harmed. */
export function diskFull(cause: unknown): RegistryError {
  return registryError('INTERNAL', "the registry's disk is full: free some space on it, then go on", {
    status: 507,
    cause,
  })
}
