import type { WrittenPart } from '../domain/blob-body.ts'

/** The last parts of a growing file, as long as their memory is not reused. */
export class RecentParts {
  /** In the order of the file. */
  private readonly parts: { start: number; part: WrittenPart }[] = []

  /** Adds the part of the file that begins at `start`. */
  add(start: number, part: WrittenPart): void {
    const { parts } = this
    while (parts[0] !== undefined && parts[0].part.bytes() === undefined) parts.shift()
    parts.push({ start, part })
  }

  clear(): void {
    this.parts.length = 0
  }

  /** Returns bytes from an offset, at most so many, which are valid until the next turn; undefined if none are here. */
  find(at: number, bytesMax: number): Uint8Array | undefined {
    const found = this.parts.findLast(({ start }) => start <= at)
    if (found === undefined) return undefined
    const from = at - found.start
    const bytes = found.part.bytes()?.subarray(from, from + bytesMax)
    return bytes?.length ? bytes : undefined
  }
}
