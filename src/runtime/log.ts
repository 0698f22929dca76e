import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import pino from 'pino'

/** How much of the log waits in memory until it can be written. Later lines are dropped. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024

/** What of the log is written, and how. */
export interface LogSettings {
  level: string
  format: string
}

/** Opens the log on standard output: JSON lines, or readable text on a terminal. */
export async function openLog(config: LogSettings): Promise<Logger> {
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

/** How many lines one client network gets in one period. */
const LINES_MAX = 20
const PERIOD_MS = 60_000

/** How many networks are tracked. */
const NETWORKS_MAX = 4096

/** Limits the log lines that one client can cause with requests that fail. */
export class LineLimit {
  private readonly networks = new LRUCache<string, Period>({ max: NETWORKS_MAX })
  private readonly now: () => number

  /** @param now milliseconds since an arbitrary time */
  constructor(now: () => number = () => performance.now()) {
    this.now = now
  }

  /** Returns what to add to the line: how many were left out before it. Returns undefined if it is left out, too. */
  admit(network: string): { omitted?: number } | undefined {
    const now = this.now()
    const known = this.networks.get(network)
    if (known === undefined || known.until <= now) {
      const omitted = Math.max(0, (known?.lines ?? 0) - LINES_MAX)
      this.networks.set(network, { until: now + PERIOD_MS, lines: 1 })
      return omitted === 0 ? {} : { omitted }
    }
    known.lines++
    return known.lines <= LINES_MAX ? {} : undefined
  }
}

interface Period {
  until: number
  lines: number
}
