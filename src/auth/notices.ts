import { networkOf } from '../domain/access/client-network.ts'
import { type Notice, type NoticeKind, TARGETS_MAX } from '../metadata/accounts/notices.ts'
import type { Metadata } from '../metadata/metadata.ts'

/** How many notices may wait while others are written. Further ones are dropped. */
const WAITING_MAX = 1000

/** Names and targets are truncated to this length. */
const NAME_CHARACTERS_MAX = 64
const TARGET_CHARACTERS_MAX = 200

/** What happened. */
export interface Noticed {
  kind: NoticeKind
  /** What was attempted. */
  target: string
  account: string | undefined
  credential?: string | undefined
  address: string
  requestId?: string
}

/**
 * Writes refusals and sign-ins to the audit log in the background. Repeats are counted in one row, and those that
 * arrive during a write are written together in the next one. So a flood costs a few rows and delays no request.
 */
export class Notices {
  private readonly metadata: Metadata
  private readonly now: () => number
  private waiting = newBatch()
  private isWriting = false
  /** Resolves when the last batch is written. */
  private written = Promise.resolve()

  /** @param now milliseconds since 1970 */
  constructor(metadata: Metadata, now: () => number) {
    this.metadata = metadata
    this.now = now
  }

  note({ kind, target, account = '', credential, address, requestId = '' }: Noticed): void {
    const name = account.slice(0, NAME_CHARACTERS_MAX)
    const network = networkOf(address)
    const what = target.slice(0, TARGET_CHARACTERS_MAX)
    const key = this.keyOf(JSON.stringify([kind, name, network]), kind === 'refused' ? what : '')
    const { notices } = this.waiting
    const known = notices.get(key)
    if (known === undefined && notices.size >= WAITING_MAX) return
    // The newest comes last.
    notices.delete(key)
    notices.set(key, {
      kind,
      target: what,
      account: name,
      credential: credential ?? null,
      address: network,
      requestId,
      at: this.now(),
      count: (known?.count ?? 0) + 1,
    })
    if (!this.isWriting) void this.write()
  }

  /** Returns the key of a notice. One source has a bounded number of targets; further ones share a key. */
  private keyOf(source: string, target: string): string {
    const { notices, targets } = this.waiting
    const key = `${source} ${target}`
    const known = targets.get(source) ?? 0
    if (target === '' || notices.has(key)) return key
    if (known >= TARGETS_MAX) return source
    targets.set(source, known + 1)
    return key
  }

  /** Resolves when all notices so far are written. Later ones do not delay it. */
  async flush(): Promise<void> {
    await (this.waiting.notices.size > 0 ? this.waiting.written.promise : this.written)
  }

  private async write(): Promise<void> {
    this.isWriting = true
    while (this.waiting.notices.size > 0) {
      const { notices, written } = this.waiting
      this.waiting = newBatch()
      this.written = written.promise
      await this.metadata.write('addNotices', { notices: [...notices.values()] }).catch(() => {})
      written.resolve()
    }
    this.isWriting = false
  }
}

/** Notices that are written together. */
function newBatch() {
  return {
    notices: new Map<string, Notice>(),
    /** How many targets each source has. */
    targets: new Map<string, number>(),
    written: Promise.withResolvers<void>(),
  }
}
