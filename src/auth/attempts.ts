import { LRUCache } from 'lru-cache'
import { registryError } from '../oci/error.ts'

/** Wrong passwords that are free, for an account and for an address; each further one doubles the wait. */
const FREE_FOR_ACCOUNT = 5
const FREE_FOR_ADDRESS = 20
const WAIT_SECONDS_MAX = 300
const REMEMBERED_MAX = 10_000
const REMEMBERED_SECONDS = 3600

interface Failures {
  count: number
  /** Until when further tries are refused, in milliseconds since 1970. */
  until: number
}

/** Slows down who guesses passwords, by account and by address. */
export class Attempts {
  private readonly failures = new LRUCache<string, Failures>({
    max: REMEMBERED_MAX,
    ttl: REMEMBERED_SECONDS * 1000,
  })
  private readonly now: () => number

  constructor(now: () => number) {
    this.now = now
  }

  /** Throws TOOMANYREQUESTS while the account or the address has to wait. */
  check(account: string, address: string): void {
    const until = Math.max(this.until(`account ${account}`), this.until(`address ${address}`))
    const seconds = Math.ceil((until - this.now()) / 1000)
    if (seconds <= 0) return
    throw registryError('TOOMANYREQUESTS', `too many wrong passwords: try again in ${seconds} seconds`, {
      headers: { 'retry-after': String(seconds) },
    })
  }

  failed(account: string, address: string): void {
    this.count(`account ${account}`, FREE_FOR_ACCOUNT)
    this.count(`address ${address}`, FREE_FOR_ADDRESS)
  }

  /** A right password clears its account; an address stays as it is, or one account of one's own would free it. */
  succeeded(account: string): void {
    this.failures.delete(`account ${account}`)
  }

  private until(key: string): number {
    return this.failures.get(key)?.until ?? 0
  }

  private count(key: string, free: number): void {
    const count = (this.failures.get(key)?.count ?? 0) + 1
    const seconds = count <= free ? 0 : Math.min(WAIT_SECONDS_MAX, 2 ** Math.min(20, count - free))
    this.failures.set(key, { count, until: this.now() + seconds * 1000 })
  }
}
