/**
 * Returns a function that gives the remaining milliseconds of the startup grace. Nothing is deleted during it, because
 * pushes that began before the restart may still reference what looks like garbage.
 *
 * @param monotonic milliseconds since an arbitrary time
 * @param keptMs what an earlier process had left of it
 */
export function firstGrace(graceMs: number, monotonic: () => number, keptMs = graceMs): () => number {
  const end = monotonic() + Math.min(graceMs, keptMs)
  return () => Math.max(0, end - monotonic())
}
