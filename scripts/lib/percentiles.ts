/** Returns the median. */
export function median(values: number[]): number {
  return percentile(values, 0.5)
}

/** Returns a percentile: 0.99 is the p99. NaN if there are no values. */
export function percentile(values: number[], share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
