import { LRUCache } from 'lru-cache'

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
