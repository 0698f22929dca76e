/** Aborts its signal after a time that can be changed. */
export class Deadline {
  private readonly controller = new AbortController()
  private timer: Timer | undefined

  constructor(milliseconds: number) {
    this.extend(milliseconds)
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  /** Begins anew; undefined ends it. */
  extend(milliseconds: number | undefined): void {
    clearTimeout(this.timer)
    if (milliseconds === undefined) return
    const reason = new DOMException('no answer in time', 'TimeoutError')
    this.timer = setTimeout(() => this.controller.abort(reason), milliseconds)
  }
}
