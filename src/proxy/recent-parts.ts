import type { WrittenPart } from '../domain/blob-body.ts'

/** How many parts are remembered. The memory of an old one may stay unused for any time. */
const PARTS_MAX = 64

/** The last parts of a growing file, until their memory is reused. */
export class RecentParts {
  /** In the order of the file. */
  private readonly parts: { start: number; part: WrittenPart }[] = []

  /** Adds the part of the file that begins at `start`. */
  add(start: number, part: WrittenPart): void {
    this.parts.push({ start, part })
    if (this.parts.length > PARTS_MAX) this.parts.shift()
  }

  /** Forgets all parts. */
  clear(): void {
    this.parts.length = 0
  }

  /**
   * Returns bytes from an offset, at most `bytesMax`, or undefined if they are not in memory. They are valid until the
   * next turn of the event loop.
   */
  find(at: number, bytesMax: number): Uint8Array | undefined {
    const found = this.parts.findLast(({ start }) => start <= at)
    if (found === undefined) return undefined
    const from = at - found.start
    const bytes = found.part.bytes()?.subarray(from, from + bytesMax)
    return bytes?.length ? bytes : undefined
  }
}
