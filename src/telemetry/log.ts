import pino, { type Logger } from 'pino'
import type { Config } from '../config/config-schema.ts'

/** Opens the log on standard output: JSON lines, or readable text on a terminal. */
export async function openLog(config: Config['log']): Promise<Logger> {
  const options = {
    level: config.level,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    serializers: { cause },
    formatters: { level },
  }
  const forPeople = config.format === 'pretty' || (config.format === 'auto' && process.stdout.isTTY)
  return pino(options, forPeople ? await textStream() : pino.destination({ fd: 1, sync: true }))
}

/** Loads the formatter, which a server without a terminal does not need. */
async function textStream() {
  const { default: pretty } = await import('pino-pretty')
  return pretty({ sync: true, ignore: 'requestId', singleLine: true })
}

/** Formats the cause of a failure with its stack. Clients never see it. */
function cause(value: unknown): unknown {
  return value instanceof Error ? (value.stack ?? value.message) : value
}

/** Writes levels by name instead of by number. */
function level(label: string): object {
  return { level: label }
}
