import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import { networkOf } from '../access/access.ts'
import type { Metadata } from '../database/metadata.ts'
import { tooManyRequests } from '../oci/error.ts'
import { LineLimit } from '../runtime/log.ts'
import { TARGETS_MAX } from './audit-store.ts'
import { hashSecret } from './passwords.ts'
import type { Notice, NoticeKind } from './store.ts'

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

/** One login attempt. It counts as failed until it succeeds, so that concurrent attempts count, too. */
interface Attempt {
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

  /**
   * Starts an attempt. Throws TOOMANYREQUESTS while the account or the address has to wait.
   *
   * @param isKnownAddress whether the account has signed in from there before. Guesses from elsewhere then do not delay it.
   */
  begin({
    account,
    address,
    isKnownAddress,
  }: {
    account: string
    address: string
    isKnownAddress: boolean
  }): Attempt {
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

/** How many notices may wait while others are written. Further ones are dropped. */
const WAITING_MAX = 1000

/** Names and targets are truncated to this length. */
const NAME_CHARACTERS_MAX = 64
const TARGET_CHARACTERS_MAX = 200

/** What happened. */
interface Noticed {
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

/** Successful sign-ins of one account from one address are logged once in this time. */
const SAME_MS = 3_600_000
const SAME_MAX = 10_000

/** Names, which can be anything that a client sent, are cut to this length. */
const LOGGED_CHARACTERS_MAX = 64

/** A password or a token that was checked. */
export interface SignIn {
  isRight: boolean
  credential: 'password' | 'token' | 'refresh' | 'session'
  /** As the client sent it. Undefined if it sent no name. */
  account: string | undefined
  address: string
}

/**
 * Returns a function that logs sign-ins, and counts those with a password. Programs like fail2ban read the lines of failed
 * ones, so their form must stay: the address is the first field after the time.
 */
export function signInRecorder(
  log: Logger,
  logins: { ok: number; failed: number },
): (signIn: SignIn) => void {
  const seen = new LRUCache<string, true>({ max: SAME_MAX, ttl: SAME_MS })
  const limit = new LineLimit()
  return ({ isRight, address, credential, ...signIn }) => {
    if (credential === 'password') logins[isRight ? 'ok' : 'failed']++
    if (!log.isLevelEnabled('info')) return
    const account = signIn.account?.slice(0, LOGGED_CHARACTERS_MAX)
    if (!isRight) {
      const omitted = limit.admit(networkOf(address))
      if (omitted) log.info({ address, account, credential, ...omitted }, 'failed sign-in')
      return
    }
    const key = `${account} ${address}`
    if (seen.has(key)) return
    seen.set(key, true)
    log.info({ address, account, credential }, 'signed in')
  }
}
