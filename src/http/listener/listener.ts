import type { Credentials } from '../../domain/server-certificate.ts'

/** Bun closes a connection that is silent for so long; a body that stalls is answered before. */
const CONNECTION_IDLE_SECONDS_MAX = 255

/** How long clients have to leave the connections that show the certificate from before, one request at a time. */
const LEAVE_SECONDS = 5

/** Of TLS 1.2, what is authenticated as a whole: Bun's default also has ciphers in CBC mode. */
const CIPHERS = ['AES128-GCM-SHA256', 'AES256-GCM-SHA384', 'CHACHA20-POLY1305']
  .flatMap((cipher) => [`ECDHE-ECDSA-${cipher}`, `ECDHE-RSA-${cipher}`])
  .join(':')

type BunServer = Bun.Server<unknown>

type Fetch = (request: Request) => Response | Promise<Response>

/**
 * One address that is listened on. Bun cannot change the certificate of a server that listens, so with another
 * one a second server takes the same port. The first answers each further request with `Connection: close`, which
 * clients follow, then it takes no more, and ends when its last request has.
 */
export class Listener {
  private readonly fetch: Fetch
  private readonly hostname: string
  /** Requests as they came, of those that were handed on under a URL. */
  private readonly originals = new WeakMap<Request, Request>()
  private readonly leaving = new Set<BunServer>()
  private server: BunServer

  /** @throws an error with code EADDRINUSE when something else has the port */
  constructor(fetch: Fetch, hostname: string, port: number, credentials: Credentials | undefined) {
    this.fetch = (request) => fetch(request.url.startsWith('/') ? this.named(request) : request)
    this.hostname = hostname
    const taken = credentials && canShare ? freePort(hostname, port) : port
    this.server = listen(this.fetch, hostname, taken, credentials)
  }

  /** How many requests are in flight. */
  get pending(): number {
    return this.server.pendingRequests
  }

  /** `host:port`, with the port that was taken. */
  get address(): string {
    const host = this.server.hostname ?? ''
    return `${host.includes(':') ? `[${host}]` : host}:${this.server.port}`
  }

  /** Where a request comes from; empty when it is gone. */
  addressOf(request: Request): string {
    const original = this.originals.get(request) ?? request
    for (const server of [this.server, ...this.leaving]) {
      const found = server.requestIP(original)
      if (found) return found.address
    }
    return ''
  }

  /** Shows new connections another certificate; no request is dropped. */
  replace(credentials: Credentials): void {
    const old = this.server
    const port = old.port ?? 0
    if (!canShare) void old.stop()
    this.server = listen(this.fetch, this.hostname, port, credentials)
    this.leaving.add(old)
    void this.leave(old)
  }

  /** Takes no new request; resolves when those in flight have ended, after so many seconds at the latest. */
  async stop(secondsMax: number): Promise<void> {
    await Promise.all([this.server, ...this.leaving].map((server) => stop(server, secondsMax)))
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

  /** HTTP/1.0 needs no Host, and without one Bun's URL is only a path. */
  private named(original: Request): Request {
    const request = new Request(`http://localhost${original.url}`, original)
    this.originals.set(request, original)
    return request
  }
}

/** Whether two servers can have one port, of which the newer gets connections while the older one ends. */
const canShare = process.platform === 'linux'

function listen(
  fetch: Fetch,
  hostname: string,
  port: number,
  credentials: Credentials | undefined,
): BunServer {
  return Bun.serve({
    fetch,
    hostname,
    port,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    idleTimeout: CONNECTION_IDLE_SECONDS_MAX,
    reusePort: credentials !== undefined && canShare,
    ...(credentials && { tls: { cert: credentials.certificate, key: credentials.key, ciphers: CIPHERS } }),
  })
}

/** A port that is shared would be taken in silence from who has it, so it is taken alone first. */
function freePort(hostname: string, port: number): number {
  const alone = Bun.serve({ hostname, port, reusePort: false, fetch: () => new Response() })
  void alone.stop(true)
  return alone.port ?? port
}

async function stop(server: BunServer, secondsMax: number): Promise<void> {
  let timer: Timer | undefined
  const timeout = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, secondsMax * 1000)
  })
  await Promise.race([server.stop(), timeout])
  clearTimeout(timer)
  await server.stop(true)
}
