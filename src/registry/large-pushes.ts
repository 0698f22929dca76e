import { LRUCache } from 'lru-cache'
import { tooManyRequests } from '../oci/error.ts'

/** A manifest with more references is large: the writer's thread writes them all in one transaction. */
const REFERENCES_MAX = 500

/** The smallest size of a reference in a manifest, in bytes. */
const REFERENCE_BYTES = 80

/** After a large manifest, the next one waits this many times as long as its write took. */
const REST_FACTOR = 9

/** How many large manifests of one account may be in progress, and how many may wait. Each holds its bytes in memory. */
const PER_ACCOUNT_MAX = 2
const WAITING_MAX = 8

/** How many accounts have the time of their last turn recorded. */
const SERVED_MAX = 1000

type Account = string | undefined

interface Waiting {
  account: Account
  turn: PromiseWithResolvers<void>
}

/**
 * Pushes, deletes and restores large manifests one at a time, with pauses, so that other writes get most of the
 * writer's time. Otherwise, four clients that push indexes of 12,000 entries would leave the others one push a second.
 * Accounts take turns: the next manifest is from the account whose last turn was the longest ago.
 */
export class LargePushes {
  /** In the order in which they came. */
  private waiting: Waiting[] = []
  private readonly byAccount = new Map<Account, number>()
  private readonly servedAt = new LRUCache<string, number>({ max: SERVED_MAX })
  private turns = 0
  /** A write or the rest after it. */
  private isBusy = false
  private readonly sleep: (milliseconds: number) => Promise<void>

  constructor(sleep: (milliseconds: number) => Promise<void> = Bun.sleep) {
    this.sleep = sleep
  }

  /**
   * Writes a manifest. A large one waits for its turn.
   *
   * @throws RegistryError TOOMANYREQUESTS when too many large ones wait; and whatever `write` throws
   */
  async write<T>(account: Account, references: number, write: () => Promise<T>): Promise<T> {
    if (references <= REFERENCES_MAX) return await write()
    if (this.isFull(account)) throw busy()
    this.byAccount.set(account, this.countOf(account) + 1)
    try {
      await this.takeTurn(account)
      return await this.writeRested(write)
    } finally {
      this.forget(account)
    }
  }

  /**
   * Deletes or restores a manifest. A large one waits for its turn, because the garbage state of each reference may
   * change.
   *
   * @param bytes its size
   * @throws what `write` throws
   */
  async change<T>(account: Account, bytes: number, change: () => Promise<T>): Promise<T> {
    return await this.write(account, bytes / REFERENCE_BYTES, change)
  }

  /**
   * Refuses a manifest that may be large, before it is parsed, while too many are waiting.
   *
   * @param bytes its size
   * @throws RegistryError TOOMANYREQUESTS
   */
  check(account: Account, bytes: number): void {
    if (bytes > REFERENCES_MAX * REFERENCE_BYTES && this.isFull(account)) throw busy()
  }

  private isFull(account: Account): boolean {
    if (this.countOf(account) >= PER_ACCOUNT_MAX) return true
    return this.waiting.length >= WAITING_MAX && this.findDisplaced(account) === undefined
  }

  /** Resolves when it is the account's turn. Rejects when another account needs the place. */
  private async takeTurn(account: Account): Promise<void> {
    if (!this.isBusy) return this.begin(account)
    if (this.waiting.length >= WAITING_MAX) {
      const displaced = this.findDisplaced(account)
      this.waiting = this.waiting.filter((one) => one !== displaced)
      displaced?.turn.reject(busy())
    }
    const turn = Promise.withResolvers<void>()
    this.waiting.push({ account, turn })
    await turn.promise
  }

  /** Returns the newest one of an account that has two waiting, which an account without any may displace. */
  private findDisplaced(account: Account): Waiting | undefined {
    const waitingOf = (one: Account) => this.waiting.filter((other) => other.account === one).length
    if (waitingOf(account) > 0) return undefined
    return this.waiting.findLast((one) => waitingOf(one.account) > 1)
  }

  private begin(account: Account): void {
    this.isBusy = true
    this.servedAt.set(keyOf(account), ++this.turns)
  }

  private beginNext(): void {
    const servedAt = ({ account }: Waiting) => this.servedAt.peek(keyOf(account)) ?? 0
    // The sort is stable: of those that had no turn, the oldest is first.
    const [next] = this.waiting.toSorted((a, b) => servedAt(a) - servedAt(b))
    this.isBusy = false
    if (next === undefined) return
    this.waiting = this.waiting.filter((one) => one !== next)
    this.begin(next.account)
    next.turn.resolve()
  }

  private countOf(account: Account): number {
    return this.byAccount.get(account) ?? 0
  }

  private async writeRested<T>(write: () => Promise<T>): Promise<T> {
    const began = performance.now()
    try {
      return await write()
    } finally {
      void this.sleep((performance.now() - began) * REST_FACTOR).then(() => this.beginNext())
    }
  }

  private forget(account: Account): void {
    const left = this.countOf(account) - 1
    if (left > 0) this.byAccount.set(account, left)
    else this.byAccount.delete(account)
  }
}

function keyOf(account: Account): string {
  return account ?? ''
}

function busy() {
  return tooManyRequests(
    `too many manifests with more than ${REFERENCES_MAX} references are being changed: try again soon`,
    5,
    503,
  )
}
