import type { RepositoryName } from '../oci/reference.ts'

const DAY_MS = 86_400_000

/** How long garbage is kept. */
export interface GarbageWindow {
  /** How long content is protected that an in-progress push may reference, in milliseconds. */
  graceMs: number
  /** How long deletions can be undone, in milliseconds. At least `graceMs`. */
  windowMs: number
  /**
   * Days after which a manifest that never had a tag is deleted, unless its repository says otherwise. 0 means never.
   */
  untaggedDays: number
}

/** Returns the window of these settings. It is at least as long as the grace period of pushes. */
export function garbageWindowOf({
  graceSeconds,
  windowSeconds,
  untaggedDays,
}: {
  graceSeconds: number
  windowSeconds: number
  untaggedDays: number
}): GarbageWindow {
  const graceMs = graceSeconds * 1000
  return { graceMs, windowMs: Math.max(graceMs, windowSeconds * 1000), untaggedDays }
}

/**
 * Returns how long a manifest that never had a tag is kept, in milliseconds, or undefined if it is kept forever.
 *
 * @param own the repository's own setting
 */
export function untaggedMs({ graceMs, untaggedDays }: GarbageWindow, own: number | null): number | undefined {
  const days = own ?? untaggedDays
  return days === 0 ? undefined : Math.max(days * DAY_MS, graceMs)
}

/** How many repositories are tracked. For the others, the newest dropped time counts. */
const REPOSITORIES_MAX = 10_000

/**
 * Remembers when a push last touched each repository. A client that pushes asks for blobs and manifests with HEAD
 * first, which leaves no trace in the database if they are in use. Before the process started, anything may have been
 * pushed, so that is the earliest answer.
 */
export class PushActivity {
  private readonly times = new Map<RepositoryName, number>()
  private readonly now: () => number
  private floor: number
  private newest: number

  constructor(now: () => number) {
    this.now = now
    this.floor = now()
    this.newest = this.floor
  }

  /** Records that a client that may push to the repository has pushed, or asked what exists. */
  note(repository: RepositoryName): void {
    this.newest = this.now()
    this.times.delete(repository)
    this.times.set(repository, this.newest)
    if (this.times.size <= REPOSITORIES_MAX) return
    for (const [oldest, at] of this.times) {
      this.times.delete(oldest)
      this.floor = Math.max(this.floor, at)
      return
    }
  }

  /** Returns the time of the last push, in one repository or in any, in milliseconds since 1970. */
  last(repository: RepositoryName | undefined): number {
    if (repository === undefined) return this.newest
    return Math.max(this.floor, this.times.get(repository) ?? 0)
  }
}
