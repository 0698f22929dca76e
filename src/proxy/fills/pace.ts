/**
 * Limits the bytes that are sent in one turn of the event loop, so that small requests are served in between. Senders
 * beyond the limit wait for the next turn, in order.
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

  /** Takes bytes of the current turn. Returns undefined if they may be sent now. */
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
