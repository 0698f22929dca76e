import bytes from 'bytes-iec'
import milliseconds from 'parse-duration'

/** One or more numbers with units; the library ignores what it cannot read. */
const DURATION =
  /^(\d{1,9} *(?:ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?|y|years?)(?![a-z])[ ,]*)+$/
const BYTES = /^\d{1,16}(\.\d{1,9})? *([kmgtpe]i?)?b?$/i

/** Parses a duration such as `14d`, `1d 12h` or `3 days`, in milliseconds. Returns undefined for other text. */
export function parseDuration(text: string): number | undefined {
  return DURATION.test(text.trim()) ? (milliseconds(text) ?? undefined) : undefined
}

/** Parses a size such as `4GiB` (powers of 1024) or `4GB` (powers of 1000), in bytes. Returns undefined for other text. */
export function parseBytes(text: string): number | undefined {
  const size = BYTES.test(text.trim()) ? bytes.parse(text.trim()) : null
  return size === null || Number.isNaN(size) ? undefined : Math.round(size)
}
