/** What the log says about a request besides its result: who sent it, and what it did. */
export interface Noted {
  account?: string | undefined
  deed?: Deed
}

/** What a successful request did. */
export interface Deed {
  act: 'pushed' | 'deleted' | 'changed'
  repository?: string
  tags?: readonly string[]
  digest?: string
  /** Uploaded bytes. */
  bytes?: number
  /** When it began, if before the request: from performance.now(). */
  began?: number
}
