/** The value that half of all are below. */
export function median(values: number[]): number {
  return percentile(values, 0.5)
}

/** The value that this share of all is below: 0.99 for the p99. NaN when there are none. */
export function percentile(values: number[], share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
}
