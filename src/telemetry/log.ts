import pino, { type Logger } from 'pino'
import type { Config } from '../config/config-schema.ts'

/** How much of the log waits in memory until it can be written. Later lines are dropped. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024

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
  const output = openOutput()
  return pino(options, forPeople ? await textStream(output) : output)
}

/** Opens standard output. If it cannot be written, for example on a full disk, the server goes on, and lines wait. */
function openOutput() {
  const output = pino.destination({ fd: 1, sync: true, maxLength: UNWRITTEN_BYTES_MAX })
  output.on('error', () => {})
  return output
}

/** Loads the formatter, which a server without a terminal does not need. */
async function textStream(destination: ReturnType<typeof pino.destination>) {
  const { default: pretty } = await import('pino-pretty')
  return pretty({ destination, ignore: 'requestId', singleLine: true })
}

/** Formats the cause of a failure with its stack. Clients never see it. */
function cause(value: unknown): unknown {
  return value instanceof Error ? (value.stack ?? value.message) : value
}

/** Writes levels by name instead of by number. */
function level(label: string): object {
  return { level: label }
}
