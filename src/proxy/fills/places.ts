/** A limited number of places, which requests take in order. */
export class Places {
  private free: number
  private readonly waiting: (() => void)[] = []

  constructor(count: number) {
    this.free = count
  }

  /** Takes a place. Returns undefined if one is free now. */
  take(): Promise<void> | undefined {
    if (this.free > 0) {
      this.free--
      return undefined
    }
    const { promise, resolve } = Promise.withResolvers<void>()
    this.waiting.push(resolve)
    return promise
  }

  give(): void {
    const next = this.waiting.shift()
    if (next) next()
    else this.free++
  }
}
