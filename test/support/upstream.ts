import { createServer, type Server, type Socket } from 'node:net'
import { imageManifest, json, type Named, named, OCI_MANIFEST, randomBlob } from './content.ts'

/** A request that the upstream received. */
export interface UpstreamRequest {
  method: string
  /** The path with its query. */
  path: string
  headers: Record<string, string>
}

/**
 * A step of a response: bytes, a promise to wait for, or the end of the connection. After `keep` the
 * connection stays open for further requests.
 */
export type Step = Uint8Array | string | Promise<unknown> | 'fin' | 'reset' | 'keep'

export type Answer = (request: UpstreamRequest) => Step[]

/**
 * A scripted registry on a raw socket. It responds as a correct registry until
 * `on` adds a rule. It never sleeps; steps that wait use a promise of the test.
 */
export class FakeUpstream implements AsyncDisposable {
  /** All requests, in order of arrival. */
  readonly log: UpstreamRequest[] = []
  /** Bodies and headers by path. */
  readonly content = new Map<string, { bytes: Uint8Array; headers: Record<string, string> }>()
  /** If set, every request under /v2 needs this Authorization. */
  auth: { header: string; challenge: string } | undefined
  private readonly rules: { match: RegExp; answer: Answer; times: number }[] = []
  private readonly sockets = new Set<Socket>()
  readonly port: number
  private readonly server: Server

  private constructor(server: Server, port: number) {
    this.server = server
    this.port = port
    server.on('connection', (socket) => this.serve(socket))
  }

  static async start(port = 0): Promise<FakeUpstream> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
    return new FakeUpstream(server, (server.address() as { port: number }).port)
  }

  get host(): string {
    return `127.0.0.1:${this.port}`
  }

  get url(): string {
    return `http://${this.host}`
  }

  /** Overrides the response to `METHOD path`, for the given number of times. The newest rule wins. */
  on(match: RegExp, answer: Answer | Step[], times = Number.POSITIVE_INFINITY): this {
    this.rules.unshift({ match, answer: Array.isArray(answer) ? () => answer : answer, times })
    return this
  }

  /** Removes all rules. */
  heal(): void {
    this.rules.length = 0
  }

  /** Returns the requests that match `METHOD path`. */
  requests(match: RegExp): UpstreamRequest[] {
    return this.log.filter(({ method, path }) => match.test(`${method} ${path}`))
  }

  putBlob(repository: string, { digest, bytes }: Named): void {
    this.content.set(`/v2/${repository}/blobs/${digest}`, { bytes, headers: {} })
  }

  putManifest(repository: string, reference: string, { digest, bytes }: Named, type = OCI_MANIFEST): void {
    const headers = { 'content-type': type, 'docker-content-digest': digest }
    for (const name of [reference, digest]) {
      this.content.set(`/v2/${repository}/manifests/${name}`, { bytes, headers })
    }
  }

  /** Adds an image of random layers under a tag. */
  putImage(repository: string, tag: string, layerBytes: number[] = [100_000]) {
    const layers = layerBytes.map(randomBlob)
    const config = json({ architecture: 'amd64', os: 'linux', of: `${repository}:${tag}:${Math.random()}` })
    const manifest = imageManifest(config, layers)
    for (const blob of [config, ...layers]) this.putBlob(repository, blob)
    this.putManifest(repository, tag, manifest)
    return { config, layers, manifest, layer: layers[0] ?? named('') }
  }

  /** Returns the steps of a correct response. */
  answer(request: UpstreamRequest): Step[] {
    const { method, path, headers } = request
    if (path === '/v2/') return reply(200, {}, '{}')
    if (this.auth !== undefined && headers.authorization !== this.auth.header) {
      return reply(401, { 'www-authenticate': this.auth.challenge }, '')
    }
    const found = this.content.get(path.replace(/\?.*/, ''))
    if (found === undefined) return reply(404, {}, '{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
    const range = /^bytes=(\d+)-$/.exec(headers.range ?? '')
    const size = found.bytes.length
    const from = Number(range?.[1] ?? 0)
    if (range && from >= size) return reply(416, { 'content-range': `bytes */${size}` }, '')
    const status = range ? 206 : 200
    const more = range && { 'content-range': `bytes ${from}-${size - 1}/${size}` }
    return reply(status, { ...found.headers, ...more }, found.bytes.subarray(from), method === 'HEAD')
  }

  /** Closes all connections and stops listening. */
  async stop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.server.close(() => resolve()))
    for (const socket of this.sockets) socket.resetAndDestroy()
    await closed
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.server.listening) await this.stop()
  }

  private serve(socket: Socket): void {
    this.sockets.add(socket)
    let text = ''
    let turn = Promise.resolve()
    socket.on('close', () => this.sockets.delete(socket))
    socket.on('error', () => {})
    socket.on('data', (data) => {
      text += data.toString('latin1')
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const request = parseHead(text.slice(0, end))
        text = text.slice(end + 4)
        this.log.push(request)
        turn = turn.then(() => this.play(socket, this.choose(request)))
      }
    })
  }

  private choose(request: UpstreamRequest): Step[] {
    const line = `${request.method} ${request.path}`
    const rule = this.rules.find(({ match, times }) => times > 0 && match.test(line))
    if (rule === undefined) return this.answer(request)
    rule.times--
    return rule.answer(request)
  }

  private async play(socket: Socket, steps: Step[]): Promise<void> {
    for (const step of steps) {
      if (step === 'keep' || socket.destroyed) return
      if (step === 'reset') socket.resetAndDestroy()
      else if (step === 'fin') socket.end()
      else if (step instanceof Promise) await step
      else if (!socket.write(step)) await drained(socket)
    }
  }
}

/** Returns the steps of a complete response. */
export function reply(
  status: number,
  headers: Record<string, string>,
  body: Uint8Array | string,
  isHead = false,
): Step[] {
  return [
    head(status, { 'content-length': String(Buffer.byteLength(body)), ...headers }),
    ...(isHead ? [] : [body]),
  ]
}

/** Formats the head of a response. */
export function head(status: number, headers: Record<string, string>): string {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${status}\r\n${lines.join('')}\r\n`
}

function parseHead(text: string): UpstreamRequest {
  const [line = '', ...lines] = text.split('\r\n')
  const [method = '', path = ''] = line.split(' ')
  const headers = lines.map((one) => {
    const colon = one.indexOf(':')
    return [one.slice(0, colon).toLowerCase(), one.slice(colon + 1).trim()] as const
  })
  return { method, path, headers: Object.fromEntries(headers) }
}

function drained(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve)
    socket.once('close', resolve)
  })
}
