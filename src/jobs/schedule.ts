import type { Logger } from 'pino'
import { turn } from '../runtime/turn.ts'

/** Runs periodic work once it is started. A failure is logged, and the next run tries again. */
export class Schedule {
  private readonly log: Logger
  private readonly first: (() => void)[] = []
  private readonly timers: Timer[] = []

  constructor(log: Logger) {
    this.log = log
  }

  /** Runs `work` at the start and then every `seconds`. A run is skipped while the previous one is in progress. */
  every(seconds: number, name: string, work: () => Promise<unknown>): void {
    let busy = false
    const turn = async () => {
      if (busy) return
      busy = true
      await this.run(name, work)
      busy = false
    }
    this.first.push(() => {
      this.timers.push(setInterval(turn, seconds * 1000))
      void turn()
    })
  }

  /** Runs `work` at the start, and not again. */
  once(name: string, work: () => Promise<unknown>): void {
    this.first.push(() => void this.run(name, work))
  }

  /** Starts the work, one item in each turn of the event loop, so that a request waits for one at most. */
  async start(): Promise<void> {
    for (let next = this.first.shift(); next; next = this.first.shift()) {
      next()
      await turn()
    }
  }

  stop(): void {
    this.first.length = 0
    for (const timer of this.timers) clearInterval(timer)
  }

  private async run(name: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (cause) {
      this.log.error({ job: name, cause }, 'job failed')
    }
  }
}
