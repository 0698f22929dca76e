/** Returns the header of a warning that persists (RFC 7234, 5.5.7). */
export function warningOf(warning: string | undefined): Record<string, string> {
  return warning === undefined ? {} : { warning: `299 - "${warning}"` }
}
