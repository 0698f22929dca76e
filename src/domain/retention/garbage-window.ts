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
