import { sha256 } from '../lib/image.ts'
import { manifestMediaType } from '../lib/registry.ts'
import type { Sample, Samples } from './samples.ts'

const pieceBytes = 64 * 1024

/** A registry that serves samples as blobs of any repository, also by range. */
export class SampleUpstream {
  readonly address: string
  /** How many bytes of blobs were sent. */
  sentBytes = 0
  /** How many requests for blobs did not begin at the first byte. */
  resumed = 0
  private server: Bun.Server<undefined>
  private readonly samples: Samples
  private readonly pauseMs: number
  private readonly content = new Map<string, { size: number; bytes: () => Uint8Array }>()
  private readonly manifests = new Map<string, Uint8Array>()

  /** @param pauseMs after each 64 KiB that are sent */
  constructor(samples: Samples, pauseMs: number) {
    this.samples = samples
    this.pauseMs = pauseMs
    this.server = this.listen(0)
    this.address = `127.0.0.1:${this.server.port}`
  }

  add(sample: Sample): void {
    this.content.set(sample.digest, { size: sample.size, bytes: () => this.samples.bytes(sample) })
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
    this.server = this.listen(Number(this.address.split(':')[1]))
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
