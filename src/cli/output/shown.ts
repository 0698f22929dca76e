import { harmless, type Terminal } from './terminal.ts'

/** A field of an answer, as people see it: a column of a table, or a line of a card. */
export interface Shown {
  label: string
  /** Where it is in the answer: `usage.pulls`; empty for the answer itself. */
  field: string
  as: Format
}

/** Writes a value that is there. */
export type Format = (value: unknown, terminal: Terminal) => string

/** A column or a line; the value is text unless `as` says otherwise. */
export function shown(label: string, field: string, as: Format = asText): Shown {
  return { label, field, as }
}

/** The field for people; empty where the answer has none. */
export function render({ field, as }: Shown, answer: unknown, terminal: Terminal): string {
  const value = valueAt(answer, field)
  return value === undefined || value === null ? '' : as(value, terminal)
}

function valueAt(answer: unknown, field: string): unknown {
  if (field === '') return answer
  return field
    .split('.')
    .reduce<unknown>(
      (at, key) => (typeof at === 'object' && at !== null ? Reflect.get(at, key) : undefined),
      answer,
    )
}

export function asText(value: unknown): string {
  if (Array.isArray(value)) return value.map(asText).join(', ')
  if (typeof value !== 'object' || value === null) return harmless(String(value))
  return Object.entries(value)
    .map(([key, one]) => `${harmless(key)}=${asText(one)}`)
    .join(' ')
}

/** JSON in which the control characters are escaped, too, that JSON would leave as they are. */
export function jsonText(value: unknown): string {
  return escapeControls(JSON.stringify(value, null, 2) ?? '')
}

/** JSON text that says the same, and changes nothing on a terminal. */
export function escapeControls(json: string): string {
  return json.replaceAll(/[\x7f-\x9f]/g, (control) => `\\u00${control.charCodeAt(0).toString(16)}`)
}

/** `yes`, or nothing. */
export function asYes(value: unknown): string {
  return value === true ? 'yes' : ''
}

export function asCount(value: unknown): string {
  return Number(value).toLocaleString('en')
}

/** `1.2 GiB`: powers of 1024 by their names (IEC 80000-13). */
export function asBytes(value: unknown): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB']
  let left = Number(value)
  let unit = 0
  while (left >= 1023.95 && unit < units.length - 1) {
    left /= 1024
    unit += 1
  }
  return `${unit === 0 ? left : left.toFixed(1)} ${units[unit]}`
}

/** `14 days`, `1 day 12 hours`: seconds, by the largest units that give whole numbers. */
export function asDuration(value: unknown): string {
  let left = Number(value)
  const parts: string[] = []
  for (const [size, unit] of STEPS.slice(2)) {
    const count = Math.floor(left / size)
    if (count > 0) parts.push(`${count} ${unit}${count === 1 ? '' : 's'}`)
    left -= count * size
  }
  return parts.join(' ') || '0 seconds'
}

/** `kept for 3 days`, `kept for good`: days, of which 0 is for ever. */
export function asKeptDays(value: unknown): string {
  if (value === 0) return 'kept for good'
  return `kept for ${asCount(value)} ${value === 1 ? 'day' : 'days'}`
}

/** On a terminal enough of a digest to tell it from others; elsewhere all of it. */
export function asShortDigest(value: unknown, { isForPeople }: Terminal): string {
  const text = asText(value)
  return isForPeople ? text.slice(0, text.indexOf(':') + 1 + SHORT_DIGEST_CHARACTERS) : text
}

const SHORT_DIGEST_CHARACTERS = 12

/** Tags; on a terminal a digest in the name of one (`sha256-….sig`) is cut as `asShortDigest` cuts it. */
export function asTags(value: unknown, { isForPeople }: Terminal): string {
  const text = asText(value)
  return isForPeople ? text.replaceAll(DIGEST_IN_TAG, '$1…') : text
}

const DIGEST_IN_TAG = new RegExp(`\\b([a-z0-9]+-[0-9a-f]{${SHORT_DIGEST_CHARACTERS}})[0-9a-f]{52}\\b`, 'g')

/** On a terminal how long ago, or how long from now; elsewhere RFC 3339. */
export function asTime(value: unknown, { isForPeople, now }: Terminal): string {
  const at = new Date(String(value))
  if (Number.isNaN(at.getTime())) return asText(value)
  if (at.getTime() === UNKNOWN_TIME) return ''
  return isForPeople ? relative(at.getTime() - now()) : at.toISOString()
}

/** The local time, and on a terminal also how long ago. */
export function asMoment(value: unknown, terminal: Terminal): string {
  const at = new Date(String(value))
  if (Number.isNaN(at.getTime())) return asText(value)
  if (at.getTime() === UNKNOWN_TIME) return ''
  return terminal.isForPeople ? `${localTime(at)} (${asTime(value, terminal)})` : at.toISOString()
}

/** What programs in Go write for a time that they do not know: the beginning of the year 1. */
const UNKNOWN_TIME = Date.parse('0001-01-01T00:00:00Z')

/** `2026-11-24 18:03:09 +01:00` */
function localTime(at: Date): string {
  const offset = -at.getTimezoneOffset()
  const local = new Date(at.getTime() + offset * 60_000).toISOString()
  const [hours, minutes] = [Math.trunc(Math.abs(offset) / 60), Math.abs(offset) % 60].map((n) =>
    String(n).padStart(2, '0'),
  )
  return `${local.slice(0, 10)} ${local.slice(11, 19)} ${offset < 0 ? '-' : '+'}${hours}:${minutes}`
}

const STEPS: readonly [seconds: number, unit: Intl.RelativeTimeFormatUnit][] = [
  [365 * 86_400, 'year'],
  [30 * 86_400, 'month'],
  [86_400, 'day'],
  [3600, 'hour'],
  [60, 'minute'],
  [1, 'second'],
]

function relative(milliseconds: number): string {
  const seconds = milliseconds / 1000
  const step = STEPS.find(([size]) => Math.abs(seconds) >= size)
  if (step === undefined) return 'now'
  const [size, unit] = step
  // What is to come in nearly 14 days is said to come in 14.
  const count = seconds < 0 ? Math.trunc(seconds / size) : Math.round(seconds / size)
  return new Intl.RelativeTimeFormat('en').format(count, unit)
}
