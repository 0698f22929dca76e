import { LRUCache } from 'lru-cache'
import { networkOf } from '../domain/access/client-network.ts'
import { tooManyRequests } from '../oci/error.ts'
import { hashSecret } from './secrets.ts'

/** How many wrong passwords an account or an address may try without waiting. Each further one doubles the wait. */
const FREE_FOR_ACCOUNT = 5
const FREE_FOR_ADDRESS = 20
const WAIT_SECONDS_MAX = 300
/** How many accounts and addresses are tracked, each by a short hash because clients can send long names. */
const REMEMBERED_MAX = 20_000
const REMEMBERED_MILLISECONDS = 3_600_000

interface Failures {
  count: number
  /** When the last attempt was, and until when further ones are refused, in milliseconds since 1970. */
  at: number
  until: number
}

/** Whose password is tried, and from which address. */
export interface Try {
  account: string
  address: string
  /** Whether the account has signed in from this address before. Guesses from elsewhere then do not delay it. */
  isKnownAddress: boolean
}

/** One login attempt. It counts as failed until it succeeds, so that concurrent attempts count, too. */
export interface Attempt {
  succeeded(): void
  /** Takes the attempt back: the password was not tried because the server was too busy. */
  abandoned(): void
}

/** Rate-limits failed logins by account and by address (for IPv6, by /64 network). */
export class Attempts {
  private readonly accounts = new LRUCache<string, Failures>({ max: REMEMBERED_MAX })
  private readonly addresses = new LRUCache<string, Failures>({ max: REMEMBERED_MAX })
  private readonly now: () => number

  /** @param now milliseconds since 1970 */
  constructor(now: () => number) {
    this.now = now
  }

  /** Starts an attempt. Throws TOOMANYREQUESTS while the account or the address has to wait. */
  begin({ account, address, isKnownAddress }: Try): Attempt {
    const network = networkOf(address)
    const key = isKnownAddress ? `${keyOf(account)} ${network}` : keyOf(account)
    const seconds = Math.max(
      this.secondsLeft(this.accounts, key),
      isKnownAddress ? 0 : this.secondsLeft(this.addresses, network),
    )
    if (seconds > 0) {
      throw tooManyRequests(`too many wrong passwords: try again in ${seconds} seconds`, seconds)
    }
    const takeFromAccount = this.add(this.accounts, key, FREE_FOR_ACCOUNT)
    const takeFromAddress = isKnownAddress ? () => {} : this.add(this.addresses, network, FREE_FOR_ADDRESS)
    return {
      succeeded: () => {
        this.accounts.delete(key)
        // Take back only this attempt: signing in to an account of one's own must not reset the address's count.
        takeFromAddress()
      },
      abandoned() {
        takeFromAccount()
        takeFromAddress()
      },
    }
  }

  /** Resets the count of an account. */
  unlock(account: string): void {
    const key = keyOf(account)
    for (const known of [...this.accounts.keys()]) {
      if (known === key || known.startsWith(`${key} `)) this.accounts.delete(known)
    }
  }

  /** Removes failed logins that have expired. */
  releaseMemory(): void {
    for (const table of [this.accounts, this.addresses]) {
      for (const [key, { at }] of [...table.entries()]) if (!this.counts(at)) table.delete(key)
    }
  }

  private find(table: LRUCache<string, Failures>, key: string): Failures | undefined {
    const found = table.get(key)
    return found && this.counts(found.at) ? found : undefined
  }

  private counts(at: number): boolean {
    return at + REMEMBERED_MILLISECONDS > this.now()
  }

  private secondsLeft(table: LRUCache<string, Failures>, key: string): number {
    return Math.ceil(((this.find(table, key)?.until ?? 0) - this.now()) / 1000)
  }

  /** Counts one more failure. Returns a function that takes it back. */
  private add(table: LRUCache<string, Failures>, key: string, free: number): () => void {
    const at = this.now()
    const before = this.find(table, key) ?? { count: 0, at, until: 0 }
    const count = before.count + 1
    const seconds = count <= free ? 0 : Math.min(WAIT_SECONDS_MAX, 2 ** Math.min(20, count - free))
    const until = at + seconds * 1000
    table.set(key, { count, at, until })
    return () => {
      const now = table.peek(key)
      if (now === undefined) return
      const left = now.count - 1
      const waits = now.until === until ? before.until : now.until
      table.set(key, { ...now, count: left, until: left <= free ? 0 : waits })
    }
  }
}

function keyOf(account: string): string {
  return hashSecret(account).toString('base64', 0, 12)
}
