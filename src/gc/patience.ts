/**
 * The first grace of a process, in which nothing is deleted: pushes that began before it may still name what looks like
 * garbage. Answers how many milliseconds are left of it.
 *
 * @param monotonic milliseconds since some moment
 */
export function firstGrace(graceMs: number, monotonic: () => number): () => number {
  const end = monotonic() + graceMs
  return () => Math.max(0, end - monotonic())
}
