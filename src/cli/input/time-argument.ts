import { parseDuration } from '../../config/units.ts'
import { CommandError, EXIT } from '../failure.ts'

/** RFC 3339, section 5.6: `date-time`, which always has an offset. */
const DATE_TIME = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/

/** The words around a duration that give its direction. */
const WORDS = { past: /^(.+?) +ago$/, future: /^in +(.+)$/ } as const

/** Parses a time like `parseTimeArgument`, and returns it in the form of the API: RFC 3339. */
export function timeArgument(...read: Parameters<typeof parseTimeArgument>): string {
  return new Date(parseTimeArgument(...read)).toISOString()
}

/**
 * Parses a time: RFC 3339, or the distance from now (`2h`, `1d 12h`, `2h ago`, `in 3 days`). Returns milliseconds since
 * 1970.
 *
 * @param direction whether a duration without `ago` or `in` is in the past or in the future
 * @throws CommandError that says what is expected
 */
export function parseTimeArgument(text: string, now: number, direction: 'past' | 'future'): number {
  const trimmed = text.trim()
  const duration = parseDuration(WORDS[direction].exec(trimmed)?.[1] ?? trimmed)
  const at =
    duration === undefined ? parseDateTime(trimmed) : now + (direction === 'past' ? -duration : duration)
  // Only years of four digits.
  if (at !== undefined && at >= 0 && at < Date.UTC(10_000, 0)) return at
  const example = direction === 'past' ? '2h, or 3 days ago' : '12h, or in 3 days'
  throw new CommandError(
    `invalid time "${text}": expected RFC 3339, such as 2026-11-24T18:00:00Z, or a duration, such as ${example}`,
    EXIT.usage,
  )
}

function parseDateTime(text: string): number | undefined {
  const [, date, time] = DATE_TIME.exec(text) ?? []
  if (date === undefined) return undefined
  const at = Date.parse(text.replace(' ', 'T').toUpperCase())
  // Date.parse accepts the 30th of February as the 2nd of March.
  const isReal = new Date(`${date}T${time}Z`).toJSON()?.startsWith(`${date}T${time}`)
  return Number.isNaN(at) || !isReal ? undefined : at
}
