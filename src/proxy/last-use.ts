import type { Use } from '../metadata/cache/cached-content.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** Uses that are remembered between two writes; further ones are not noted. */
const USES_MAX = 20_000

/** Uses of one write, so that no other write waits long for it. */
const USES_PER_WRITE = 500

/** What was used lately, to be written together now and then: a card is written to once a minute at most. */
export class LastUse {
  private readonly write: (uses: Use[]) => Promise<unknown>
  private readonly now: () => number
  private uses = new Map<string, Use>()

  /** @param now milliseconds since 1970 */
  constructor(write: (uses: Use[]) => Promise<unknown>, now: () => number) {
    this.write = write
    this.now = now
  }

  note(repository: RepositoryName, digest: Digest, isBlob: boolean): void {
    const key = `${repository}@${digest}`
    const known = this.uses.get(key)
    if (known !== undefined) known.at = this.now()
    else if (this.uses.size < USES_MAX) this.uses.set(key, { repository, digest, isBlob, at: this.now() })
  }

  /** Writes what was noted until now. */
  async flush(): Promise<void> {
    const uses = [...this.uses.values()]
    this.uses = new Map()
    for (let at = 0; at < uses.length; at += USES_PER_WRITE)
      await this.write(uses.slice(at, at + USES_PER_WRITE))
  }
}
