import type { Rule } from '../domain/access/rule.ts'

/**
 * Cached data that a write has made stale. For accounts and grants, the write names them, so that one account's
 * changes do not evict the cached sign-ins of others.
 */
export interface StaleParts {
  content: object
  accounts: AccountsChanged
  grants: GrantChanged
  'signing-keys': object
}

export type Stale = keyof StaleParts

/** The result of a write that changed or hid content. */
export const CONTENT_STALE = { stale: 'content' } as const

/** A write in parts. After each part, its changes are committed, and the cached data that it yields is dropped. */
export type Parts<Reply> = Generator<{ stale: Stale | undefined }, Reply>

/** The ids of accounts that have changed, or whose permissions have, except by grants. */
export interface AccountsChanged {
  accounts: readonly number[]
}

/** A grant of a subject was created, changed or removed. */
export interface GrantChanged {
  /** The subject, as in the table of grants. */
  subject: string
  rule?: Rule
  /** The pattern of the grant that was removed. */
  removed?: string
}
