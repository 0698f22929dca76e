/**
 * Returns a function that gives the remaining milliseconds of the startup grace. Nothing is deleted during it, because
 * pushes that began before the restart may still reference what looks like garbage.
 *
 * @param monotonic milliseconds since an arbitrary time
 */
export function firstGrace(graceMs: number, monotonic: () => number): () => number {
  const end = monotonic() + graceMs
  return () => Math.max(0, end - monotonic())
}
