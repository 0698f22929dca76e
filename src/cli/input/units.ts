import { parseDuration } from '../../config/units.ts'
import { CommandError, EXIT } from '../failure.ts'

const DAY_MS = 86_400_000

/** Parses a number of days: `90`, `90d` or `12w`. Throws a CommandError that names the option. */
export function parseDays(text: string, option: string): number {
  const days = /^\d{1,9}$/.test(text) ? Number(text) : (parseDuration(text) ?? Number.NaN) / DAY_MS
  if (Number.isSafeInteger(days)) return days
  throw new CommandError(`${option} is "${text}": expected whole days, such as 90, 90d or 12w`, EXIT.usage)
}
