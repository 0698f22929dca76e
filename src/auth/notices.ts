import { networkOf } from '../domain/client-network.ts'
import type { Notice, NoticeKind } from '../metadata/accounts/notices.ts'
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
 * arrive during a write are written together in the next one. So a flood costs one row and delays no request.
 */
export class Notices {
  private readonly metadata: Metadata
  private readonly now: () => number
  private waiting = new Map<string, Notice>()
  private writing: Promise<void> | undefined

  /** @param now milliseconds since 1970 */
  constructor(metadata: Metadata, now: () => number) {
    this.metadata = metadata
    this.now = now
  }

  note({ kind, target, account = '', credential, address, requestId = '' }: Noticed): void {
    const name = account.slice(0, NAME_CHARACTERS_MAX)
    const network = networkOf(address)
    const key = JSON.stringify([kind, name, network])
    const known = this.waiting.get(key)
    if (known === undefined && this.waiting.size >= WAITING_MAX) return
    this.waiting.set(key, {
      kind,
      target: target.slice(0, TARGET_CHARACTERS_MAX),
      account: name,
      credential: credential ?? null,
      address: network,
      requestId,
      at: this.now(),
      count: (known?.count ?? 0) + 1,
    })
    this.writing ??= this.write()
  }

  /** Resolves when everything noted so far is written. */
  async flush(): Promise<void> {
    while (this.writing !== undefined) await this.writing
  }

  private async write(): Promise<void> {
    while (this.waiting.size > 0) {
      const notices = [...this.waiting.values()]
      this.waiting = new Map()
      await this.metadata.write('addNotices', { notices }).catch(() => {})
    }
    this.writing = undefined
  }
}
