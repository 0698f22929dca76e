import type { Sample, Samples } from './samples.ts'

const pieceBytes = 64 * 1024
/** A pause after each piece, so that a blob of some MiB takes about a second. */
const pauseMilliseconds = 5

/** A registry that serves samples as blobs of any repository, slowly, and from any byte. */
export class SampleUpstream {
  readonly address: string
  /** Bytes of blobs that were sent. */
  sentBytes = 0
  /** Requests for blobs, and those of them that did not begin at the first byte. */
  requests = 0
  resumed = 0
  private readonly server: Bun.Server<undefined>
  private readonly samples: Samples
  private readonly content = new Map<string, Sample>()

  constructor(samples: Samples) {
    this.samples = samples
    this.server = Bun.serve({ hostname: '127.0.0.1', port: 0, fetch: (request) => this.answer(request) })
    this.address = `127.0.0.1:${this.server.port}`
  }

  add(sample: Sample): void {
    this.content.set(sample.digest, sample)
  }

  async stop(): Promise<void> {
    await this.server.stop(true)
  }

  private answer(request: Request): Response {
    this.requests++
    const { pathname } = new URL(request.url)
    const sample = this.content.get(pathname.split('/').at(-1) ?? '')
    if (sample === undefined) return new Response('', { status: 404 })
    const { size } = sample
    if (request.method === 'HEAD') return new Response(null, { headers: { 'content-length': String(size) } })
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get('range') ?? '')?.[1] ?? 0)
    if (from > 0) this.resumed++
    const range = { 'content-range': `bytes ${from}-${size - 1}/${size}` }
    const body = this.send(this.samples.bytes(sample).subarray(from))
    return new Response(body, { status: from > 0 ? 206 : 200, headers: from > 0 ? range : {} })
  }

  private async *send(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      const piece = bytes.subarray(at, at + pieceBytes)
      this.sentBytes += piece.length
      yield piece
      await Bun.sleep(pauseMilliseconds)
    }
  }
}
