/**
 * Lets those who would keep the event loop busy do so much in one turn of it. The others wait for the next turn, in the
 * order in which they came, and small requests are served between.
 */
export class Pace {
  private readonly bytesPerTurn: number
  private left: number
  private readonly waiting: { bytes: number; resolve: () => void }[] = []
  private isScheduled = false

  constructor(bytesPerTurn: number) {
    this.bytesPerTurn = bytesPerTurn
    this.left = bytesPerTurn
  }

  /** Takes so many bytes of a turn; undefined when it may go on at once. */
  take(bytes: number): Promise<void> | undefined {
    this.schedule()
    if (this.waiting.length === 0 && this.left > 0) {
      this.left -= bytes
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.waiting.push({ bytes, resolve })
    return promise
  }

  private schedule(): void {
    if (this.isScheduled) return
    this.isScheduled = true
    setImmediate(() => this.turn())
  }

  private turn(): void {
    this.isScheduled = false
    this.left = this.bytesPerTurn
    let served = 0
    for (const { bytes, resolve } of this.waiting) {
      if (this.left <= 0) break
      this.left -= bytes
      resolve()
      served++
    }
    this.waiting.splice(0, served)
    if (served > 0) this.schedule()
  }
}
