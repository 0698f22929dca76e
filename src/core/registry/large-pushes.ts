import PQueue from 'p-queue'
import { registryError } from '../../oci/error.ts'

/** A manifest with more references is large: each costs the writer's thread some 40 us, all in one transaction. */
const REFERENCES_MAX = 500

/** The smallest size of a reference in a manifest, in bytes. */
const REFERENCE_BYTES = 80

/** After a large manifest, the next one waits this many times as long as its write took. */
const REST_FACTOR = 9

/** How many large manifests may wait, per account and in total. Each holds its bytes in memory. */
const WAITING_PER_ACCOUNT_MAX = 2
const WAITING_MAX = 8

/**
 * Pushes, deletes and restores large manifests one at a time, with pauses, so that other writes get most of the
 * writer's time. Otherwise, four clients that push indexes of 12,000 entries would leave the others one push a second.
 */
export class LargePushes {
  private readonly queue = new PQueue({ concurrency: 1 })
  private readonly byAccount = new Map<string | undefined, number>()
  private rest = Promise.resolve()
  private readonly sleep: (milliseconds: number) => Promise<void>

  constructor(sleep: (milliseconds: number) => Promise<void> = Bun.sleep) {
    this.sleep = sleep
  }

  /**
   * Writes a manifest. A large one waits for its turn.
   *
   * @throws RegistryError TOOMANYREQUESTS when too many large ones wait; and whatever `write` throws
   */
  async write<T>(account: string | undefined, references: number, write: () => Promise<T>): Promise<T> {
    if (references <= REFERENCES_MAX) return await write()
    if (this.isFull(account)) throw busy()
    this.byAccount.set(account, this.countOf(account) + 1)
    try {
      return await this.queue.add(() => this.writeRested(write))
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
  async change<T>(account: string | undefined, bytes: number, change: () => Promise<T>): Promise<T> {
    return await this.write(account, bytes / REFERENCE_BYTES, change)
  }

  /**
   * Refuses a manifest that may be large, before it is parsed, while too many are waiting.
   *
   * @param bytes its size
   * @throws RegistryError TOOMANYREQUESTS
   */
  check(account: string | undefined, bytes: number): void {
    if (bytes > REFERENCES_MAX * REFERENCE_BYTES && this.isFull(account)) throw busy()
  }

  private isFull(account: string | undefined): boolean {
    return this.countOf(account) >= WAITING_PER_ACCOUNT_MAX || this.queue.size >= WAITING_MAX
  }

  private countOf(account: string | undefined): number {
    return this.byAccount.get(account) ?? 0
  }

  private async writeRested<T>(write: () => Promise<T>): Promise<T> {
    await this.rest
    const began = performance.now()
    try {
      return await write()
    } finally {
      this.rest = this.sleep((performance.now() - began) * REST_FACTOR)
    }
  }

  private forget(account: string | undefined): void {
    const left = this.countOf(account) - 1
    if (left > 0) this.byAccount.set(account, left)
    else this.byAccount.delete(account)
  }
}

function busy() {
  return registryError(
    'TOOMANYREQUESTS',
    `too many manifests with more than ${REFERENCES_MAX} references are being changed: try again soon`,
    { status: 503, headers: { 'retry-after': '5' } },
  )
}
