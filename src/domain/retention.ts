const DAY_MS = 86_400_000

/** How long garbage is kept. */
export interface Retention {
  /** What a push in progress may name is kept for so many milliseconds. */
  graceMs: number
  /** What can be undone: so many milliseconds, at least the grace. */
  windowMs: number
  /** Days until a manifest goes that never had a tag, where its repository says nothing else; 0: it stays. */
  untaggedDays: number
}

/**
 * How many milliseconds a manifest is kept that never had a tag; undefined: it stays.
 *
 * @param own what its repository says
 */
export function untaggedMs({ graceMs, untaggedDays }: Retention, own: number | null): number | undefined {
  const days = own ?? untaggedDays
  return days === 0 ? undefined : Math.max(days * DAY_MS, graceMs)
}
