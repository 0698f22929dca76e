import type { Condition } from './condition.ts'

/** Who made a change. Recorded in the history, the outbox and the log. Never holds a secret. */
export interface Caller {
  /** The account's name. Undefined for anonymous. */
  account: string | undefined
  /** The credential's id, when the account has several. */
  credential: string | undefined
  /** The client's address, as text. */
  address: string
  requestId: string
}

/** The arguments of every write: who makes it, when, and under which condition. */
export interface Write {
  caller: Caller
  /** Milliseconds since 1970. */
  at: number
  /** The condition on the resource's version. */
  condition?: Condition | undefined
}

/** The caller of automatic changes, such as the expiry of a tag. */
export const SYSTEM: Caller = Object.freeze({
  account: 'system',
  credential: undefined,
  address: '',
  requestId: '',
})
