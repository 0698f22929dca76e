import pino, { type Logger } from 'pino'
import pretty from 'pino-pretty'
import type { Config } from '../config/config-schema.ts'

/** Opens the log on standard output: JSON lines, or readable text on a terminal. */
export function openLog(config: Config['log']): Logger {
  const options = {
    level: config.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { cause },
    formatters: { level },
  }
  const forPeople = config.format === 'pretty' || (config.format === 'auto' && process.stdout.isTTY)
  const stream = forPeople
    ? pretty({ sync: true, ignore: 'requestId', singleLine: true })
    : pino.destination({ fd: 1, sync: true })
  return pino(options, stream)
}

/** Formats the cause of a failure with its stack. Clients never see it. */
function cause(value: unknown): unknown {
  return value instanceof Error ? (value.stack ?? value.message) : value
}

/** Writes levels by name instead of by number. */
function level(label: string): object {
  return { level: label }
}
