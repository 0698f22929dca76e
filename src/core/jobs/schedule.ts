import type { Logger } from 'pino'

/** Runs periodic work. A failure is logged, and the next run tries again. */
export class Schedule {
  private readonly log: Logger
  private readonly timers: Timer[] = []

  constructor(log: Logger) {
    this.log = log
  }

  /** Runs `work` immediately and then every `seconds`. A run is skipped while the previous one is in progress. */
  every(seconds: number, name: string, work: () => Promise<unknown>): void {
    let busy = false
    const turn = async () => {
      if (busy) return
      busy = true
      await this.run(name, work)
      busy = false
    }
    this.timers.push(setInterval(turn, seconds * 1000))
    void turn()
  }

  /** Runs `work` immediately, and not again. */
  once(name: string, work: () => Promise<unknown>): void {
    void this.run(name, work)
  }

  private async run(name: string, work: () => Promise<unknown>): Promise<void> {
    try {
      await work()
    } catch (cause) {
      this.log.error({ job: name, cause }, 'job failed')
    }
  }

  stop(): void {
    for (const timer of this.timers) clearInterval(timer)
  }
}
