/** Returns the Content-Length in bytes; undefined if there is none. */
export function lengthOf(headers: Headers): number | undefined {
  const text = headers.get('content-length') ?? ''
  return /^\d{1,15}$/.test(text) ? Number(text) : undefined
}

/** Returns where the range of a 206 begins, and the size of the whole (RFC 9110, 14.4). */
export function partOf(headers: Headers): { from: number; total: number | undefined } | undefined {
  const [, from, total] =
    /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(headers.get('content-range') ?? '') ?? []
  if (from === undefined || total === undefined) return undefined
  return { from: Number(from), total: total === '*' ? undefined : Number(total) }
}
