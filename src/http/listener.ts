import { Elysia, t } from 'elysia'
import type { Logger } from 'pino'
import type { ListenAddress } from '../config/values.ts'

/** The idle timeout of connections, in seconds. A stalled body gets its error response earlier. */
const CONNECTION_IDLE_SECONDS_MAX = 255

/** How long clients have to leave connections that use the previous certificate. */
const LEAVE_SECONDS = 5

/** The AEAD ciphers of TLS 1.2. Bun's default also includes ciphers in CBC mode. */
const CIPHERS = ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305']
  .flatMap((cipher) => [`ECDHE-ECDSA-${cipher}`, `ECDHE-RSA-${cipher}`])
  .join(':')

type BunServer = Bun.Server<unknown>
type Fetch = (request: Request) => Response | Promise<Response>

/**
 * Listens on one address. Bun cannot change the certificate of a running server, so a second server with the new
 * certificate binds the same port. The first one adds `Connection: close` to its responses, stops accepting, and ends
 * with its last request.
 */
export class Listener {
  private readonly fetch: Fetch
  private readonly hostname: string
  /** The original requests of those whose URL was completed. */
  private readonly originals = new WeakMap<Request, Request>()
  private readonly leaving = new Set<BunServer>()
  private readonly pacer = new SendfilePacer(() => this.server.pendingRequests)
  private readonly usesTls: boolean
  private server: BunServer

  /** @throws an error with code EADDRINUSE when the port is in use */
  constructor(fetch: Fetch, hostname: string, port: number, credentials: Credentials | undefined) {
    this.fetch = (request) => fetch(request.url.startsWith('/') ? this.named(request) : request)
    this.hostname = hostname
    this.usesTls = credentials !== undefined
    this.server = this.listen(credentials && canShare ? freePort(hostname, port) : port, credentials)
  }

  /** `host:port`, with the actual port. */
  get address(): string {
    const host = this.server.hostname ?? ''
    return `${host.includes(':') ? `[${host}]` : host}:${this.server.port}`
  }

  /** Returns the client's address; empty after a disconnect. */
  addressOf(request: Request): string {
    const original = this.originals.get(request) ?? request
    for (const server of [this.server, ...this.leaving]) {
      const found = server.requestIP(original)
      if (found) return found.address
    }
    return ''
  }

  /** Call it before a body of this many bytes is sent from a file. With TLS, Bun sends files in small pieces. */
  sendsFile(bytes: number): void {
    if (!this.usesTls) this.pacer.begin(bytes)
  }

  /** Uses another certificate for new connections. No request is dropped. Only with TLS. */
  replace(credentials: Credentials): void {
    const old = this.server
    const port = old.port ?? 0
    if (!canShare) void old.stop()
    this.server = this.listen(port, credentials)
    this.leaving.add(old)
    void this.leave(old)
  }

  /** Stops accepting requests. Resolves when those in flight have ended, at the latest after the given seconds. */
  async stop(secondsMax: number): Promise<void> {
    await Promise.all([this.server, ...this.leaving].map((server) => stop(server, secondsMax)))
    this.pacer.stop()
  }

  private listen(port: number, credentials: Credentials | undefined): BunServer {
    return Bun.serve({
      fetch: this.fetch,
      hostname: this.hostname,
      port,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      idleTimeout: CONNECTION_IDLE_SECONDS_MAX,
      reusePort: credentials !== undefined && canShare,
      ...(credentials && { tls: { cert: credentials.certificate, key: credentials.key, ciphers: CIPHERS } }),
    })
  }

  private async leave(server: BunServer): Promise<void> {
    server.reload({
      fetch: async (request) => {
        const response = await this.fetch(request)
        response.headers.set('connection', 'close')
        return response
      },
    })
    if (canShare) await Bun.sleep(LEAVE_SECONDS * 1000)
    await server.stop()
    this.leaving.delete(server)
  }

  /** Completes the URL of an HTTP/1.0 request without a Host, which is only a path in Bun. */
  private named(original: Request): Request {
    const request = new Request(`http://localhost${original.url}`, original)
    this.originals.set(request, original)
    return request
  }
}

/** Whether a second server can share the port and get the new connections while the first one ends. */
const canShare = process.platform === 'linux'

/** Returns the port, 0 as a free one. Throws if it is in use, because sharing it would take it from another process. */
function freePort(hostname: string, port: number): number {
  const alone = Bun.serve({ hostname, port, reusePort: false, fetch: () => new Response() })
  void alone.stop(true)
  return alone.port ?? port
}

async function stop(server: BunServer, secondsMax: number): Promise<void> {
  const late = Promise.withResolvers<void>()
  const timer = setTimeout(late.resolve, secondsMax * 1000)
  await Promise.race([server.stop(), late.promise])
  clearTimeout(timer)
  await server.stop(true)
}

/** Listens on all addresses. Skips those of an address family that this machine lacks, if another one works. */
export function listenAll<T>(
  listen: ListenAddress[],
  log: Logger,
  serve: (address: ListenAddress) => T,
): T[] {
  const servers: T[] = []
  let failure: unknown
  for (const address of listen) {
    try {
      servers.push(serve(address))
    } catch (error) {
      failure = explain(error, address)
      if (address.host !== '::1' || listen.length === 1) throw failure
      log.debug({ cause: failure }, 'this machine has no [::1]')
    }
  }
  if (servers.length === 0) throw failure
  return servers
}

function explain(error: unknown, { host, port }: ListenAddress): Error {
  const { code, message } = error as NodeJS.ErrnoException
  if (code !== 'EADDRINUSE') return new Error(`cannot listen on ${host}:${port}: ${message}`)
  const likely = process.platform === 'darwin' && port === 5000 ? ' (likely by AirPlay Receiver)' : ''
  return new Error(`port ${port} is in use${likely}: choose another one with --listen ${host}:PORT`)
}

/** A server's certificate with its chain, and its key, both PEM. */
export interface Credentials {
  certificate: string
  key: string
}

/** The authority that issued this server's certificate, for clients to trust. Nothing here is secret. */
export interface Authority {
  /** The file with its certificate. */
  path: string
  /** PEM */
  certificate: string
  /** The SHA-256 of the certificate as tools print it: pairs of hexadecimal digits separated by colons. */
  fingerprint: string
}

/** Serves the certificate of this server's authority, so that hosts can trust it. Needs no credential. */
export function authorityFiles({ certificate }: Authority) {
  const der = Buffer.from(certificate.replaceAll(/-----.*-----|\s/g, ''), 'base64')
  const file = (bytes: Uint8Array<ArrayBuffer> | string, type: string) =>
    new Response(bytes, { headers: { 'content-type': type } })
  const hook = (operationId: string, summary: string, type: string) => ({
    response: { 200: t.String({ format: 'binary', description: 'The certificate' }) },
    detail: { operationId, summary, security: [{}], 'x-media-type': type },
  })
  const [pemType, derType] = ['application/x-pem-file', 'application/pkix-cert']
  return new Elysia({ name: 'authority', tags: ['authority'] })
    .get('/rootCA.pem', () => file(certificate, pemType), hook('rootCA', 'The authority, as PEM', pemType))
    .get('/ca.crt', () => file(der, derType), hook('caCrt', 'The authority, as DER', derType))
}

/** Bun does not use sendfile for smaller bodies. */
const SENDFILE_BYTES_MIN = 1024 * 1024

/** How often running downloads are looked for. */
const CHECK_MILLISECONDS = 500

/** How long one sendfile call may block the serving thread, in microseconds: without and with other requests. */
const ALONE_MICROSECONDS = 4000
const BESIDE_OTHERS_MICROSECONDS = 500

/**
 * Keeps large downloads from blocking other requests. Bun sends the rest of a file with a single sendfile(2) call. On a
 * connection as fast as the disk, that call lasts as long as the download, and nothing else is served meanwhile. A
 * signal makes the call return early, so during downloads a thread periodically sends this process SIGWINCH, which has
 * no effect by default and costs an idle loop a few microseconds. Needed only on Linux without TLS, because elsewhere
 * Bun reads and writes bodies in small pieces.
 */
class SendfilePacer {
  private readonly pending: () => number
  /** The period of the signals in microseconds; 0 pauses the thread. */
  private readonly state = new Int32Array(new SharedArrayBuffer(4))
  private worker: Worker | undefined
  private timer: Timer | undefined

  /** @param pending how many requests are in flight */
  constructor(pending: () => number) {
    this.pending = pending
  }

  begin(bytes: number): void {
    if (bytes < SENDFILE_BYTES_MIN || process.platform !== 'linux') return
    this.worker ??= this.startThread()
    this.pace()
    this.timer ??= setInterval(() => {
      if (this.pending() === 0) this.pause()
      else this.pace()
    }, CHECK_MILLISECONDS)
  }

  stop(): void {
    this.pause()
    this.worker?.terminate()
  }

  private pace(): void {
    this.set(this.pending() > 1 ? BESIDE_OTHERS_MICROSECONDS : ALONE_MICROSECONDS)
  }

  private pause(): void {
    clearInterval(this.timer)
    this.timer = undefined
    this.set(0)
  }

  private set(microseconds: number): void {
    Atomics.store(this.state, 0, microseconds)
    Atomics.notify(this.state, 0)
  }

  private startThread(): Worker {
    // Does nothing, but a signal interrupts a system call only if it has a handler.
    process.on('SIGWINCH', () => {})
    const worker = new Worker(new URL('./pacer.ts', import.meta.url))
    worker.unref()
    worker.postMessage(this.state.buffer)
    return worker
  }
}
