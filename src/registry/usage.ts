import { LRUCache } from 'lru-cache'
import type { Metadata } from '../database/metadata.ts'
import type { RepositoryName, Tag } from '../oci/reference.ts'
import type { UsageEntry } from './pull-counts.ts'
import type { Pull, UsageCounter } from './registry.ts'

/** How many combinations of tag and account are counted between two writes. More cause an early write. */
const ENTRIES_MAX = 10_000

/** How many entries one write has, so that other writes do not wait long. */
const ENTRIES_PER_WRITE = 500

/**
 * Counts pulls and pushes in memory, by repository, tag or digest, and account. They are written together from time to
 * time. A crash loses what was not written. When writes cannot keep up, new tags, digests and accounts are not counted.
 */
export class Usage implements UsageCounter {
  private readonly write: Metadata['write']
  private readonly now: () => number
  private readonly resolvedTags: ResolvedTags
  private entries = new Map<string, UsageEntry>()
  private flushing: Promise<void> | undefined

  /** @param now milliseconds since 1970 */
  constructor({ write }: Pick<Metadata, 'write'>, now: () => number) {
    this.write = write
    this.now = now
    this.resolvedTags = new ResolvedTags(now)
  }

  resolved(pull: Pull): void {
    this.resolvedTags.note(pull)
    this.used(pull, 0, pull.tag)
  }

  pulled(pull: Pull): void {
    this.used(pull, 1, this.resolvedTags.tagOf(pull))
  }

  pushed(repository: RepositoryName): void {
    const entry = this.entryOf({ repository, tag: undefined, digest: undefined, account: undefined })
    if (entry === undefined) return
    entry.pushes++
    entry.lastPushedAt = this.now()
  }

  /** Writes the counts. Those that cannot be written are retried with the next write. */
  flush(): Promise<void> {
    this.flushing ??= this.writeAll().finally(() => {
      this.flushing = undefined
    })
    return this.flushing
  }

  /** Writes all counts, including those that arrive during the last write. Errors do not prevent closing. */
  async close(): Promise<void> {
    await this.flushing?.catch(() => {})
    await this.flush().catch(() => {})
  }

  private used(
    { repository, digest, account, tag: requested }: Pull,
    pulls: number,
    tag: Tag | undefined,
  ): void {
    const entry = this.entryOf({
      repository,
      tag,
      digest: requested === undefined ? digest : undefined,
      account,
    })
    if (entry === undefined) return
    entry.pulls += pulls
    entry.lastPulledAt = this.now()
  }

  private entryOf({ repository, tag, digest, account }: Pull): UsageEntry | undefined {
    const key = `${repository}:${tag ?? ''}@${digest ?? ''}:${account ?? ''}`
    const found = this.entries.get(key)
    if (found !== undefined) return found
    if (this.entries.size >= ENTRIES_MAX) this.flush().catch(() => {})
    if (this.entries.size >= ENTRIES_MAX) return undefined
    const none = { pulls: 0, pushes: 0, lastPulledAt: undefined, lastPushedAt: undefined }
    const entry = { repository, tag, digest, account, ...none }
    this.entries.set(key, entry)
    return entry
  }

  private async writeAll(): Promise<void> {
    const counted = [...this.entries.values()]
    this.entries = new Map()
    for (let begin = 0; begin < counted.length; begin += ENTRIES_PER_WRITE) {
      try {
        await this.write('addUsage', { entries: counted.slice(begin, begin + ENTRIES_PER_WRITE) })
      } catch (error) {
        for (const entry of counted.slice(begin)) this.putBack(entry)
        throw error
      }
    }
  }

  private putBack({ pulls, pushes, lastPulledAt, lastPushedAt, ...pull }: UsageEntry): void {
    const entry = this.entryOf(pull)
    if (entry === undefined) return
    entry.pulls += pulls
    entry.pushes += pushes
    entry.lastPulledAt ??= lastPulledAt
    entry.lastPushedAt ??= lastPushedAt
  }
}

/** How many tags are remembered, and for how long after a client resolved them. */
const TAGS_MAX = 4096
const TAG_MS = 60_000

/**
 * Attributes pulls by digest to tags. containerd, and with it Kubernetes, resolves a tag with HEAD and then gets the
 * manifest by digest. Both requests have the same account. The address is not compared: finding it out takes longer than
 * the rest, and what one account resolves and pulls belongs together wherever it comes from.
 */
class ResolvedTags {
  private readonly tags = new LRUCache<string, { tag: Tag; until: number }>({ max: TAGS_MAX })
  private readonly now: () => number

  /** @param now milliseconds since 1970 */
  constructor(now: () => number) {
    this.now = now
  }

  /** Remembers that the account resolved the tag to the digest. */
  note(pull: Pull): void {
    if (pull.tag !== undefined) this.tags.set(keyOf(pull), { tag: pull.tag, until: this.now() + TAG_MS })
  }

  /** Returns the tag that a pull counts for. Undefined for a pull by digest by an account that resolved no tag to it. */
  tagOf(pull: Pull): Tag | undefined {
    if (pull.tag !== undefined || this.tags.size === 0) return pull.tag
    const resolved = this.tags.get(keyOf(pull))
    return resolved !== undefined && resolved.until > this.now() ? resolved.tag : undefined
  }
}

function keyOf({ repository, digest, account = '' }: Pull): string {
  return `${account}\n${repository}@${digest}`
}
