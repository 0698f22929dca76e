/** What the log says about a request besides its result: who sent it, and what it did. */
export interface Noted {
  account?: string | undefined
  /** The client's address, if it was looked up already. It is cached because each lookup is a system call. */
  address?: string
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
