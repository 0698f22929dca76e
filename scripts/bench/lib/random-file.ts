import { randomFillSync } from 'node:crypto'
import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { join } from 'node:path'

const chunkBytes = 4 * 1024 * 1024
const pageBytes = 4096

/** A piece of the random file: what is pushed, pulled, or written by the floor. */
export interface Piece {
  /** The file that it is a piece of. */
  path: string
  offset: number
  size: number
  digest: string
}

/** One file of random bytes, whose pieces are all the content: no two pieces at different offsets are equal. */
export class RandomFile {
  readonly path: string
  readonly size: number

  private constructor(path: string, size: number) {
    this.path = path
    this.size = size
  }

  static make(folder: string, size: number): RandomFile {
    const path = join(folder, 'random')
    const file = openSync(path, 'w')
    const chunk = new Uint8Array(chunkBytes)
    for (let at = 0; at < size; at += chunkBytes) writeSync(file, randomFillSync(chunk))
    closeSync(file)
    return new RandomFile(path, size)
  }

  /** So many pieces of one size, spread over the file; another `turn` gives other ones. */
  pieces(count: number, size: number, turn = 0): Piece[] {
    const pages = Math.floor((this.size - size) / pageBytes / count)
    return Array.from({ length: count }, (_, i) => this.piece((i * pages + turn) * pageBytes, size))
  }

  piece(offset: number, size: number): Piece {
    return { path: this.path, offset, size, digest: `sha256:${hash(this.path, offset, size)}` }
  }
}

/** The bytes of a piece; of a small one. */
export function bytesOf({ path, offset, size }: Piece): Uint8Array {
  const bytes = new Uint8Array(size)
  const file = openSync(path, 'r')
  readSync(file, bytes, 0, size, offset)
  closeSync(file)
  return bytes
}

/** A piece as the body of a request: sent by sendfile, never read into memory. */
export function bodyOf({ path, offset, size }: Piece): Blob {
  return Bun.file(path).slice(offset, offset + size)
}

function hash(path: string, offset: number, size: number): string {
  const hasher = new Bun.CryptoHasher('sha256')
  const chunk = new Uint8Array(Math.min(chunkBytes, size))
  const file = openSync(path, 'r')
  for (let done = 0; done < size; ) {
    const read = readSync(file, chunk, 0, Math.min(chunk.length, size - done), offset + done)
    hasher.update(chunk.subarray(0, read))
    done += read
  }
  closeSync(file)
  return hasher.digest('hex')
}
