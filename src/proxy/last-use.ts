import type { Use } from '../metadata/cache/cached-content.ts'
import type { Digest } from '../oci/digest.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** The maximum uses that are recorded between two writes. */
const USES_MAX = 20_000

/** The maximum uses per write, so that other writes do not wait long. */
const USES_PER_WRITE = 500

/** Records when content was used. The times are written together, at most once a minute, to spare SD cards. */
export class LastUse {
  private readonly write: (uses: Use[]) => Promise<unknown>
  private readonly now: () => number
  /** By repository and digest. */
  private uses = new Map<RepositoryName, Map<Digest, Use>>()
  private count = 0

  /** @param now milliseconds since 1970 */
  constructor(write: (uses: Use[]) => Promise<unknown>, now: () => number) {
    this.write = write
    this.now = now
  }

  note(repository: RepositoryName, digest: Digest, isBlob: boolean): void {
    const known = this.uses.get(repository)?.get(digest)
    if (known !== undefined) known.at = this.now()
    else if (this.count < USES_MAX) this.add({ repository, digest, isBlob, at: this.now() })
  }

  /** Writes the recorded uses. Those that cannot be written, for example because the disk is full, stay recorded. */
  async flush(): Promise<void> {
    const uses = [...this.uses.values()].flatMap((inRepository) => [...inRepository.values()])
    this.uses = new Map()
    this.count = 0
    let written = 0
    try {
      for (; written < uses.length; written += USES_PER_WRITE)
        await this.write(uses.slice(written, written + USES_PER_WRITE))
    } finally {
      for (const use of uses.slice(written)) this.keep(use)
    }
  }

  /** Records a use again, unless there is a newer one. */
  private keep(use: Use): void {
    const isKnown = this.uses.get(use.repository)?.has(use.digest) ?? false
    if (!isKnown && this.count < USES_MAX) this.add(use)
  }

  private add(use: Use): void {
    const inRepository = this.uses.get(use.repository)
    if (inRepository === undefined) this.uses.set(use.repository, new Map([[use.digest, use]]))
    else inRepository.set(use.digest, use)
    this.count++
  }
}
