import { LRUCache } from 'lru-cache'
import type { Pull } from '../../domain/registry.ts'
import type { Tag } from '../../oci/reference.ts'

/** How many tags are remembered, and for how long after a client resolved them. */
const TAGS_MAX = 4096
const TAG_MS = 60_000

/**
 * Attributes pulls by digest to tags. containerd, and with it Kubernetes, resolves a tag with HEAD and then gets the
 * manifest by digest. Both requests have the same account. The address is not compared: finding it out takes longer than
 * the rest, and what one account resolves and pulls belongs together wherever it comes from.
 */
export class ResolvedTags {
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
