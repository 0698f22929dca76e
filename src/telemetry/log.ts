import pino, { type Logger } from 'pino'
import pretty from 'pino-pretty'
import type { Config } from '../config/config-schema.ts'

/** The log, on standard output: JSON lines, or for people on a terminal. */
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
    ? pretty({ sync: true, ignore: 'requestId' })
    : pino.destination({ fd: 1, sync: true })
  return pino(options, stream)
}

/** The cause of a failure: with its stack when it is an error, for this is not shown to clients. */
function cause(value: unknown): unknown {
  return value instanceof Error ? (value.stack ?? value.message) : value
}

/** Levels by name. */
function level(label: string): object {
  return { level: label }
}
