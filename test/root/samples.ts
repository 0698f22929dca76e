import { createHash } from 'node:crypto'
import { sha256 } from '../../scripts/lib/image.ts'
import { manifestMediaType } from '../../scripts/lib/registry.ts'

const MiB = 1024 * 1024
const commonBytes = 16 * MiB
const pieceBytes = 64 * 1024

/** Pseudorandom numbers from a seed (mulberry32). */
export class Random {
  private state: number

  constructor(seed: number) {
    this.state = seed >>> 0
  }

  /** Returns an integer from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.next() * limit)
  }

  /** Returns true with the probability `share`. */
  chance(share: number): boolean {
    return this.next() < share
  }

  /** Returns an element of a list; undefined if it is empty. */
  pick<T>(list: readonly T[]): T | undefined {
    return list[this.below(list.length)]
  }

  /** Returns another generator, seeded by this one. */
  fork(): Random {
    return new Random(this.below(2 ** 32))
  }

  private next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Returns the seed in an environment variable, or a random one. */
export function seedFrom(variable: string): number {
  return Number(process.env[variable] ?? crypto.getRandomValues(new Uint32Array(1))[0])
}

/** The content of a blob, as a few numbers from which its bytes can be made again. */
export interface Sample {
  digest: string
  size: number
  /** The offset of its bytes in the shared random bytes. */
  at: number
  /** A number that makes it unique. */
  id: number
}

/** Unique blobs of random bytes, which need not be kept in memory. */
export class Samples {
  private readonly common = new Uint32Array(commonBytes / 4)
  private count = 0

  constructor(random: Random) {
    for (let i = 0; i < this.common.length; i++) this.common[i] = random.below(2 ** 32)
  }

  /** Makes a blob of `size` bytes, at least 8 and at most 8 MiB. */
  make(random: Random, size: number, algorithm: 'sha256' | 'sha512' = 'sha256'): Sample {
    const sample = { size, at: random.below(commonBytes / 2), id: ++this.count }
    const hash = createHash(algorithm).update(this.bytes(sample)).digest('hex')
    return { ...sample, digest: `${algorithm}:${hash}` }
  }

  /** Returns the bytes of a blob. */
  bytes({ size, at, id }: Omit<Sample, 'digest'>): Uint8Array {
    const bytes = new Uint8Array(this.common.buffer).slice(at, at + size)
    new DataView(bytes.buffer).setFloat64(0, id)
    return bytes
  }
}

/** A registry that serves samples as blobs of any repository, also by range. */
export class SampleUpstream {
  /** How many bytes of blobs were sent. */
  sentBytes = 0
  /** How many requests for blobs did not begin at the first byte. */
  resumed = 0
  private server: Bun.Server<undefined>
  private readonly port: number
  private readonly samples: Samples
  private readonly pauseMs: number
  private readonly content = new Map<string, { size: number; bytes: () => Uint8Array }>()
  private readonly manifests = new Map<string, Uint8Array>()

  /** @param pauseMs the pause after each 64 KiB that are sent */
  constructor(samples: Samples, pauseMs = 0) {
    this.samples = samples
    this.pauseMs = pauseMs
    this.server = this.listen(0)
    this.port = this.server.port ?? 0
  }

  /** Returns the settings of a cache in front of it, whose repositories begin with `up.example/`. */
  settings(cache: string): string {
    return `[[upstream]]\nname = "up.example"\nurl = "http://127.0.0.1:${this.port}"\n[cache]\n${cache}\n`
  }

  /** Makes a blob and adds it. */
  make(random: Random, size: number): Sample {
    const sample = this.samples.make(random, size)
    this.content.set(sample.digest, { size, bytes: () => this.samples.bytes(sample) })
    return sample
  }

  /** Adds a blob of these bytes, and returns its digest. */
  addBytes(bytes: Uint8Array): string {
    const digest = sha256(bytes)
    this.content.set(digest, { size: bytes.length, bytes: () => bytes })
    return digest
  }

  addManifest(tag: string, bytes: Uint8Array): void {
    for (const reference of [tag, sha256(bytes)]) this.manifests.set(reference, bytes)
  }

  /** Closes all connections, and stops listening. */
  async stop(): Promise<void> {
    await this.server.stop(true)
  }

  /** Listens again, on the same port. */
  restart(): void {
    this.server = this.listen(this.port)
  }

  private listen(port: number): Bun.Server<undefined> {
    return Bun.serve({ hostname: '127.0.0.1', port, fetch: (request) => this.answer(request) })
  }

  private answer(request: Request): Response {
    const reference = new URL(request.url).pathname.split('/').at(-1) ?? ''
    const manifest = this.manifests.get(reference)
    if (manifest !== undefined) {
      const headers = { 'content-type': manifestMediaType, 'docker-content-digest': sha256(manifest) }
      return new Response(manifest, { headers })
    }
    const found = this.content.get(reference)
    if (found === undefined) return new Response('', { status: 404 })
    const { size } = found
    if (request.method === 'HEAD') return new Response(null, { headers: { 'content-length': String(size) } })
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get('range') ?? '')?.[1] ?? 0)
    if (from > 0) this.resumed++
    const range = { 'content-range': `bytes ${from}-${size - 1}/${size}` }
    const body = this.send(found.bytes().subarray(from))
    return new Response(body, { status: from > 0 ? 206 : 200, headers: from > 0 ? range : {} })
  }

  private async *send(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const piece = bytes.subarray(at, at + pieceBytes)
      this.sentBytes += piece.length
      yield piece
      if (this.pauseMs > 0) await Bun.sleep(this.pauseMs)
    }
  }
}
