/** A part of a long write ends when it has taken so long, so that writes of others do not wait for it. */
const PART_MS_MAX = 4

/** Begins a part; answers whether its time is over. */
export function partTime(): () => boolean {
  const end = performance.now() + PART_MS_MAX
  return () => performance.now() >= end
}

/** Does the work on each row until the part's time is over; answers how many were done. */
export function within<T>(rows: T[], work: (row: T) => unknown, isOver = partTime()): number {
  let done = 0
  for (const row of rows) {
    if (isOver()) break
    work(row)
    done++
  }
  return done
}
