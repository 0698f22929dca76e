import type { AnyElysia } from 'elysia'
import type { Credentials } from '../../tls/key-pair.ts'

/** Bun closes a connection that is silent for so long; a body that stalls is answered before. */
const CONNECTION_IDLE_SECONDS_MAX = 255

/** How long clients have to leave the connections that show the certificate from before, one request at a time. */
const LEAVE_SECONDS = 5

type BunServer = NonNullable<AnyElysia['server']>

/**
 * One address that the app listens on. Bun cannot change the certificate of a server that listens, so with another
 * one a second server takes the same port. The first answers each further request with `Connection: close`, which
 * clients follow, then it takes no more, and ends when its last request has.
 */
export class Listener {
  private readonly app: AnyElysia
  private readonly hostname: string
  private readonly leaving = new Set<BunServer>()
  private server: BunServer

  /** @throws an error with code EADDRINUSE when something else has the port */
  constructor(app: AnyElysia, hostname: string, port: number, credentials: Credentials | undefined) {
    this.app = app
    this.hostname = hostname
    this.server = listen(
      app,
      hostname,
      credentials && canShare ? freePort(hostname, port) : port,
      credentials,
    )
  }

  /** `host:port`, with the port that was taken. */
  get address(): string {
    const host = this.server.hostname ?? ''
    return `${host.includes(':') ? `[${host}]` : host}:${this.server.port}`
  }

  /** Where a request comes from; empty when it is gone. */
  addressOf(request: Request): string {
    for (const server of [this.server, ...this.leaving]) {
      const found = server.requestIP(request)
      if (found) return found.address
    }
    return ''
  }

  /** Shows new connections another certificate; no request is dropped. */
  replace(credentials: Credentials): void {
    const old = this.server
    const port = old.port ?? 0
    if (!canShare) void old.stop()
    this.server = listen(this.app, this.hostname, port, credentials)
    this.leaving.add(old)
    void this.leave(old)
  }

  /** Takes no new request; resolves when those in flight have ended, after so many seconds at the latest. */
  async stop(secondsMax: number): Promise<void> {
    await Promise.all([this.server, ...this.leaving].map((server) => stop(server, secondsMax)))
  }

  private async leave(server: BunServer): Promise<void> {
    server.reload({
      routes: {},
      fetch: async (request) => {
        const response = await this.app.fetch(request)
        response.headers.set('connection', 'close')
        return response
      },
    })
    if (canShare) await Bun.sleep(LEAVE_SECONDS * 1000)
    await server.stop()
    this.leaving.delete(server)
  }
}

/** Whether two servers can have one port, of which the newer gets connections while the older one ends. */
const canShare = process.platform === 'linux'

function listen(
  app: AnyElysia,
  hostname: string,
  port: number,
  credentials: Credentials | undefined,
): BunServer {
  app.listen({
    hostname,
    port,
    maxRequestBodySize: Number.MAX_SAFE_INTEGER,
    idleTimeout: CONNECTION_IDLE_SECONDS_MAX,
    // Elysia shares a port with whoever has it; a second cay must be told that it is taken.
    reusePort: credentials !== undefined && canShare,
    ...(credentials && { tls: { cert: credentials.certificate, key: credentials.key } }),
  })
  if (app.server === null) throw new Error(`cannot listen on ${hostname}:${port}`)
  return app.server
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
