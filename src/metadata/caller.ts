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
