import { createHash } from 'node:crypto'
import type { Random } from './random.ts'

/** The content of a blob, as a few numbers from which its bytes can be made again. */
export interface Sample {
  digest: string
  size: number
  /** The offset of its bytes in the shared random bytes. */
  at: number
  /** A number that makes it unique. */
  id: number
}

const commonBytes = 16 * 1024 * 1024

/** Unique blobs of random bytes, which need not be kept in memory. */
export class Samples {
  private readonly common: Uint8Array
  private count = 0

  constructor(random: Random) {
    const words = new Uint32Array(commonBytes / 4)
    for (let i = 0; i < words.length; i++) words[i] = random.below(2 ** 32)
    this.common = new Uint8Array(words.buffer)
  }

  /** A new blob of `size` bytes, at least 8 and at most 8 MiB. */
  make(random: Random, size: number, algorithm: 'sha256' | 'sha512' = 'sha256'): Sample {
    const sample = { size, at: random.below(commonBytes / 2), id: ++this.count }
    const hash = createHash(algorithm).update(this.bytes(sample)).digest('hex')
    return { ...sample, digest: `${algorithm}:${hash}` }
  }

  /** The bytes of a blob. */
  bytes({ size, at, id }: Omit<Sample, 'digest'>): Uint8Array {
    const bytes = this.common.slice(at, at + size)
    new DataView(bytes.buffer).setFloat64(0, id)
    return bytes
  }
}
