const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** Formats bytes with three digits at most: `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  const exponent = bytes < 1 ? 0 : Math.min(Math.floor(Math.log2(bytes) / 10), units.length - 1)
  const value = bytes / 1024 ** exponent
  const digits = exponent === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2
  return `${Number(value.toFixed(digits))} ${units[exponent]}`
}

// Making a formatter takes longer than a row of a table.
const counts = new Intl.NumberFormat('en')
const ages = new Intl.RelativeTimeFormat('en', { numeric: 'auto' })
const times = new Intl.DateTimeFormat('en', { dateStyle: 'medium', timeStyle: 'medium' })

/** Formats a count with separators: `1,234`. */
export function formatCount(count: number): string {
  return counts.format(count)
}

/** Formats a count with its noun: `1 tag`, `2 tags`, `3 repositories`. */
export function countOf(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`
}

/** Formats a part of a whole: `12%`; `none` if the whole is 0. Only all of it is 100%. */
export function formatShare(part: number, whole: number): string {
  return whole === 0 ? 'none' : `${Math.floor((100 * part) / whole)}%`
}

const steps: [seconds: number, unit: Intl.RelativeTimeFormatUnit][] = [
  [60, 'second'],
  [3600, 'minute'],
  [86_400, 'hour'],
  [86_400 * 30, 'day'],
  [86_400 * 365, 'month'],
  [Number.POSITIVE_INFINITY, 'year'],
]

/** Formats a time relative to `now`, in milliseconds since 1970: `3 hours ago`, `in 2 days`. */
export function formatAge(time: string, now: number): string {
  const seconds = (Date.parse(time) - now) / 1000
  const index = steps.findIndex(([limit]) => Math.abs(seconds) < limit)
  const [, unit] = steps[index] ?? ['', 'year' as const]
  const size = index <= 0 ? 1 : (steps[index - 1]?.[0] ?? 1)
  // What is to come is rounded, so that a window of 14 days begins as 14 days.
  const count = seconds > 0 ? Math.round(seconds / size) : Math.trunc(seconds / size)
  if (unit === 'second') return seconds > 0 ? 'in a moment' : 'just now'
  return ages.format(count, unit)
}

/** Formats a time in full, in the viewer's time zone. */
export function formatTime(time: string): string {
  return times.format(Date.parse(time))
}

/** Shortens a digest to the first 12 digits of its hash. */
export function shortDigest(digest: string): string {
  const colon = digest.indexOf(':')
  return digest.slice(colon + 1, colon + 13)
}

/** Formats a platform: `linux/arm64/v8`. */
export function formatPlatform({
  os,
  architecture,
  variant,
}: {
  os: string
  architecture: string
  variant?: string | undefined
}) {
  return [os, architecture, variant].filter((part) => part !== undefined).join('/')
}

/**
 * Returns the URL if it is absolute and of http or https, undefined otherwise. Anything else, such as `javascript:`, must
 * not become a link.
 */
export function safeUrl(text: string): string | undefined {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return undefined
  const { protocol, href } = new URL(text)
  return protocol === 'http:' || protocol === 'https:' ? href : undefined
}

/**
 * Returns a text from a client with its invisible and direction-changing characters made visible, so that it cannot
 * pretend to be another one.
 */
export function visible(text: string): string {
  return text.replace(
    /(?![\n\t])[\p{Cc}\p{Cf}\u2028\u2029]/gu,
    (character) => `\u2423${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`,
  )
}
