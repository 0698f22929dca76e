import type { Condition } from './condition.ts'

/** Who asks for a change: written with it into the history, the outbox and the log. Never holds a secret. */
export interface Caller {
  /** The account's name; undefined is anonymous. */
  account: string | undefined
  /** The credential's id, when the account has several. */
  credential: string | undefined
  /** The client's address, as text. */
  address: string
  requestId: string
}

/** What every write is told: who asks for it, when, and under which condition. */
export interface Write {
  caller: Caller
  /** Milliseconds since 1970. */
  at: number
  /** What the version of the resource must be. */
  condition?: Condition | undefined
}

/** What happens by itself: a tag's end. */
export const SYSTEM: Caller = Object.freeze({
  account: 'system',
  credential: undefined,
  address: '',
  requestId: '',
})
