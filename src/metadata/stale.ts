import type { Rule } from '../domain/rule.ts'

/**
 * What may be remembered of the database, and a write may have made stale. Of accounts and grants the write says which:
 * only that is forgotten, so that nobody's changes cost others their sign-ins.
 */
export interface StaleParts {
  content: object
  accounts: AccountsChanged
  grants: GrantChanged
  'signing-keys': object
}

export type Stale = keyof StaleParts

/** What a write replies that changed or hid content. */
export const CONTENT_STALE = { stale: 'content' } as const

/** A write that is done in parts. Each part is committed, and what it yields is forgotten before the next one. */
export type Parts<Reply> = Generator<{ stale: Stale | undefined }, Reply>

/** Accounts that have changed, or what they may do but for grants; by their ids. */
export interface AccountsChanged {
  accounts: readonly number[]
}

/** A subject's grants have changed: one was given, or another role on its pattern, or one was removed. */
export interface GrantChanged {
  /** As in the table of grants. */
  subject: string
  rule?: Rule
  /** The pattern of the grant that was removed. */
  removed?: string
}
