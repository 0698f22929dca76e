import { closeSync, fdatasyncSync, openSync, readSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Piece } from './lib/random-file.ts'

const chunkBytes = 1024 * 1024

/**
 * Measures the least cost of a push: one thread reads, hashes, writes and syncs each piece, without HTTP or a database.
 * Returns the milliseconds of each piece, and deletes what it wrote.
 */
export function floor(folder: string, pieces: Piece[]): number[] {
  const chunk = new Uint8Array(chunkBytes)
  const times = pieces.map((piece, i) => {
    const began = performance.now()
    store(piece, join(folder, `floor-${i}`), chunk)
    return performance.now() - began
  })
  for (const i of pieces.keys()) rmSync(join(folder, `floor-${i}`))
  return times
}

function store({ path, offset, size, digest }: Piece, to: string, chunk: Uint8Array): void {
  const source = openSync(path, 'r')
  const target = openSync(to, 'w')
  const hasher = new Bun.CryptoHasher('sha256')
  for (let done = 0; done < size; ) {
    const read = readSync(source, chunk, 0, Math.min(chunk.length, size - done), offset + done)
    const bytes = chunk.subarray(0, read)
    hasher.update(bytes)
    for (let at = 0; at < read; ) at += writeSync(target, bytes, at)
    done += read
  }
  fdatasyncSync(target)
  closeSync(target)
  closeSync(source)
  if (`sha256:${hasher.digest('hex')}` !== digest) throw new Error(`the floor's bytes are not ${digest}`)
}
