/** What the log says about a request besides its result: who sent it, and what it did. */
export interface Noted {
  account?: string | undefined
  /** The client's address, if somebody has asked for it: Bun asks the kernel each time. */
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
