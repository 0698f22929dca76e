/** How long the parts of a request may take, in milliseconds. */
export interface TimeLimits {
  connectMs: number
  /** Until the headers of a response. */
  firstByteMs: number
  /** Between two parts of a body. */
  stallMs: number
  /** The whole body of a manifest, a list or a token. */
  manifestMs: number
}

/** Aborts its signal after a time that can be changed. */
export class Deadline {
  private readonly controller = new AbortController()
  private timer: Timer | undefined
  private readonly reason: Error

  /** @param reason the error that the signal is aborted with */
  constructor(milliseconds: number, reason: Error = new DOMException('no answer in time', 'TimeoutError')) {
    this.reason = reason
    this.extend(milliseconds)
  }

  get signal(): AbortSignal {
    return this.controller.signal
  }

  /** Restarts the deadline; undefined cancels it. */
  extend(milliseconds: number | undefined): void {
    clearTimeout(this.timer)
    if (milliseconds === undefined) return
    this.timer = setTimeout(() => this.controller.abort(this.reason), milliseconds)
  }
}

/** Returns the promise's result. Throws the signal's reason if it is aborted first. */
export async function unlessAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const abort = () => reject(signal.reason)
  signal.addEventListener('abort', abort)
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
