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
