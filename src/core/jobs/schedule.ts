import type { Logger } from 'pino'

/** Work that comes again while the server runs. A failure is logged, and the next turn tries again. */
export class Schedule {
  private readonly log: Logger
  private readonly timers: Timer[] = []

  constructor(log: Logger) {
    this.log = log
  }

  /** Runs `work` now and then every so many seconds; a turn that comes while one is at work is left out. */
  every(seconds: number, name: string, work: () => Promise<unknown>): void {
    let busy = false
    const turn = async () => {
      if (busy) return
      busy = true
      try {
        await work()
      } catch (cause) {
        this.log.error({ job: name, cause }, 'job failed')
      } finally {
        busy = false
      }
    }
    this.timers.push(setInterval(turn, seconds * 1000))
    void turn()
  }

  stop(): void {
    for (const timer of this.timers) clearInterval(timer)
  }
}
