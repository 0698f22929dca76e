import { LRUCache } from 'lru-cache'
import { registryError } from '../oci/error.ts'

/** Wrong passwords that are free, for an account and for an address; each further one doubles the wait. */
const FREE_FOR_ACCOUNT = 5
const FREE_FOR_ADDRESS = 20
const WAIT_SECONDS_MAX = 300
const REMEMBERED_MAX = 10_000
const REMEMBERED_MILLISECONDS = 3_600_000

interface Failures {
  count: number
  /** When the last one was, and until when further tries are refused, in milliseconds since 1970. */
  at: number
  until: number
}

/** One try of a password. For the account it counts as wrong until it turns out to be right: many at once count, too. */
export interface Attempt {
  /** Whether this is the one that makes the account wait for the first time, should it be wrong. */
  isLastFree: boolean
  succeeded(): void
  failed(): void
}

/** Slows down who guesses passwords, by account and by address. */
export class Attempts {
  private readonly failures = new LRUCache<string, Failures>({ max: REMEMBERED_MAX })
  private readonly now: () => number

  /** @param now milliseconds since 1970 */
  constructor(now: () => number) {
    this.now = now
  }

  /** Throws TOOMANYREQUESTS while the account or the address has to wait. */
  begin(account: string, address: string): Attempt {
    const [byAccount, byAddress] = [`account ${account}`, `address ${address}`]
    const seconds = Math.max(this.secondsLeft(byAccount), this.secondsLeft(byAddress))
    if (seconds > 0) {
      throw registryError('TOOMANYREQUESTS', `too many wrong passwords: try again in ${seconds} seconds`, {
        headers: { 'retry-after': String(seconds) },
      })
    }
    const count = this.add(byAccount, FREE_FOR_ACCOUNT)
    return {
      isLastFree: count === FREE_FOR_ACCOUNT + 1,
      // The address stays as it is: one account of one's own must not free it.
      succeeded: () => this.failures.delete(byAccount),
      failed: () => this.add(byAddress, FREE_FOR_ADDRESS),
    }
  }

  private find(key: string): Failures | undefined {
    const found = this.failures.get(key)
    return found && found.at + REMEMBERED_MILLISECONDS > this.now() ? found : undefined
  }

  private secondsLeft(key: string): number {
    return Math.ceil(((this.find(key)?.until ?? 0) - this.now()) / 1000)
  }

  private add(key: string, free: number): number {
    const at = this.now()
    const count = (this.find(key)?.count ?? 0) + 1
    const seconds = count <= free ? 0 : Math.min(WAIT_SECONDS_MAX, 2 ** Math.min(20, count - free))
    this.failures.set(key, { count, at, until: at + seconds * 1000 })
    return count
  }
}
