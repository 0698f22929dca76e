/** A limited number of places, which requests take in order. */
export class Places {
  private free: number
  private readonly waiting: (() => void)[] = []

  constructor(count: number) {
    this.free = count
  }

  /** Whether somebody waits for a place. */
  get isWanted(): boolean {
    return this.waiting.length > 0
  }

  /** Takes a place. Returns undefined if one is free now. Rejects when the signal is aborted before. */
  take(signal?: AbortSignal): Promise<void> | undefined {
    if (this.free > 0) {
      this.free--
      return undefined
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    this.waiting.push(resolve)
    const leave = () => {
      const at = this.waiting.indexOf(resolve)
      if (at < 0) return
      this.waiting.splice(at, 1)
      reject(signal?.reason)
    }
    signal?.addEventListener('abort', leave)
    if (signal?.aborted) leave()
    return promise.finally(() => signal?.removeEventListener('abort', leave))
  }

  give(): void {
    const next = this.waiting.shift()
    if (next) next()
    else this.free++
  }
}

/**
 * Takes a place among those of an upstream, and then one among those of all. Returns a function that gives both back, which
 * can be called more than once. Rejects when the signal is aborted before.
 */
export async function takePlaces(own: Places, all: Places, signal: AbortSignal): Promise<() => void> {
  signal.throwIfAborted()
  await own.take(signal)
  try {
    await all.take(signal)
  } catch (error) {
    own.give()
    throw error
  }
  let isTaken = true
  const give = () => {
    if (!isTaken) return
    isTaken = false
    all.give()
    own.give()
  }
  if (signal.aborted) give()
  signal.throwIfAborted()
  return give
}
