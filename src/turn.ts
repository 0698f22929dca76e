/** Gives other requests a turn, between the slices of a long read. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
