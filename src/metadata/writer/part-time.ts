/** The time limit of a part of a long write, so that other writes do not wait for it. */
const PART_MS_MAX = 4

/** Begins a part. Returns a function that reports whether its time is over. */
export function partTime(): () => boolean {
  const end = performance.now() + PART_MS_MAX
  return () => performance.now() >= end
}

/**
 * Processes rows until the part's time is over, but at least one, so that each part makes progress even if the thread
 * was not running meanwhile. Returns how many were processed.
 */
export function within<T>(rows: T[], work: (row: T) => unknown, isOver = partTime()): number {
  let done = 0
  for (const row of rows) {
    work(row)
    done++
    if (isOver()) break
  }
  return done
}
