export const DAY_MS = 86_400_000

/** Returns the day of a time, as days since 1970 in UTC. */
export function dayOf(milliseconds: number): number {
  return Math.floor(milliseconds / DAY_MS)
}
