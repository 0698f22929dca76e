import { LRUCache } from 'lru-cache'
import { networkOf } from '../domain/client-network.ts'
import { registryError } from '../oci/error.ts'
import { hashSecret } from './secrets.ts'

/** Wrong passwords that are free, for an account and for an address; each further one doubles the wait. */
const FREE_FOR_ACCOUNT = 5
const FREE_FOR_ADDRESS = 20
const WAIT_SECONDS_MAX = 300
/** Accounts and addresses that are remembered, each by a short hash: what clients send as names can be long. */
const REMEMBERED_MAX = 20_000
const REMEMBERED_MILLISECONDS = 3_600_000

interface Failures {
  count: number
  /** When the last one was, and until when further tries are refused, in milliseconds since 1970. */
  at: number
  until: number
}

/** Whose password is tried, and from where. */
export interface Try {
  account: string
  address: string
  /** Whether the account has signed in from this address before: then guesses from elsewhere do not slow it down. */
  isKnownAddress: boolean
}

/** One try of a password. It counts as wrong until it turns out otherwise, so that many at once count, too. */
export interface Attempt {
  succeeded(): void
  /** It was not tried at all: the server was too busy. */
  abandoned(): void
}

/** Slows down who guesses passwords, by account and by address (IPv6: by /64 network). */
export class Attempts {
  private readonly accounts = new LRUCache<string, Failures>({ max: REMEMBERED_MAX })
  private readonly addresses = new LRUCache<string, Failures>({ max: REMEMBERED_MAX })
  private readonly now: () => number

  /** @param now milliseconds since 1970 */
  constructor(now: () => number) {
    this.now = now
  }

  /** Throws TOOMANYREQUESTS while the account or the address has to wait. */
  begin({ account, address, isKnownAddress }: Try): Attempt {
    const network = networkOf(address)
    const key = isKnownAddress ? `${keyOf(account)} ${network}` : keyOf(account)
    const seconds = Math.max(
      this.secondsLeft(this.accounts, key),
      isKnownAddress ? 0 : this.secondsLeft(this.addresses, network),
    )
    if (seconds > 0) {
      throw registryError('TOOMANYREQUESTS', `too many wrong passwords: try again in ${seconds} seconds`, {
        headers: { 'retry-after': String(seconds) },
      })
    }
    const takeFromAccount = this.add(this.accounts, key, FREE_FOR_ACCOUNT)
    const takeFromAddress = isKnownAddress ? () => {} : this.add(this.addresses, network, FREE_FOR_ADDRESS)
    return {
      succeeded: () => {
        this.accounts.delete(key)
        // Only this try is taken from the address: one account of one's own must not free it.
        takeFromAddress()
      },
      abandoned() {
        takeFromAccount()
        takeFromAddress()
      },
    }
  }

  /** Forgets the wrong passwords of an account. */
  unlock(account: string): void {
    const key = keyOf(account)
    for (const known of [...this.accounts.keys()]) {
      if (known === key || known.startsWith(`${key} `)) this.accounts.delete(known)
    }
  }

  private find(table: LRUCache<string, Failures>, key: string): Failures | undefined {
    const found = table.get(key)
    return found && found.at + REMEMBERED_MILLISECONDS > this.now() ? found : undefined
  }

  private secondsLeft(table: LRUCache<string, Failures>, key: string): number {
    return Math.ceil(((this.find(table, key)?.until ?? 0) - this.now()) / 1000)
  }

  /** Counts one more; answers what takes it back. */
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
