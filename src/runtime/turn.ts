/** Gives other requests a turn, between the slices of a long read. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/**
 * Returns a copy of a text that keeps nothing else in memory. In JavaScriptCore a slice keeps the whole text that it was
 * cut from, so a short name from a request could keep a URL or a header of 16 KiB for as long as it is remembered.
 */
export function ownText(text: string): string {
  return Buffer.from(text).toString()
}

/** Returns a function that runs work in the order of its calls, each when the one before has ended. */
export function oneAtATime(): <T>(work: () => Promise<T>) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const mine = last.then(work)
    last = mine.catch(() => {})
    return mine
  }
}
