import { version } from '../../config/version.ts'
import { ConnectProbe } from './connect-probe.ts'
import type { TimeLimits } from './deadline.ts'
import { type Environment, isExempt, proxyFor } from './environment-proxy.ts'
import type { Target } from './targets.ts'
import { UpstreamError } from './upstream-error.ts'

export interface ConnectionsOptions {
  /** PEM certificates to trust besides the system's. */
  ca?: string | undefined
  /** A proxy's URL; `none` for none, whatever the environment says. */
  proxy?: string | undefined
  /** The variables that can name proxies. */
  environment: Environment
  limits: Pick<TimeLimits, 'connectMs'>
  /** Milliseconds since an arbitrary time. */
  monotonic: () => number
}

interface SentInit {
  method?: string
  headers: Record<string, string>
  signal: AbortSignal
}

/** The connections of one endpoint: to the registry, its token service, and where redirects lead. */
export class Connections {
  private readonly options: ConnectionsOptions
  private readonly session: Bun.FetchSession
  private readonly probe: ConnectProbe

  constructor(options: ConnectionsOptions) {
    const { ca, limits, monotonic } = options
    this.options = options
    this.probe = new ConnectProbe(limits.connectMs, monotonic)
    this.session = new Bun.FetchSession({
      keepAlive: { maxIdleSockets: 8, idleTimeout: 60 },
      ...(ca !== undefined && { tls: { ca } }),
    })
  }

  /** Returns the proxy for a URL; undefined for a direct connection. */
  proxyOf(url: URL): string | undefined {
    const { proxy, environment } = this.options
    if (proxy === 'none') return undefined
    if (proxy === undefined) return proxyFor(url, environment)
    return isExempt(url, environment) ? undefined : proxy
  }

  /**
   * Sends one request, and follows no redirect.
   * @throws UpstreamError if no response comes; the signal's reason if it is aborted
   */
  async send(target: Target, init: SentInit): Promise<Response> {
    const { url, host = url.host, proxy } = target
    const send = (signal: AbortSignal) => this.fetch(target, { ...init, signal })
    try {
      // A proxy makes its own connections.
      if (proxy !== undefined) return await send(init.signal)
      return await this.probe.guard(url, host, init.signal, send)
    } catch (cause) {
      if (init.signal.aborted || cause instanceof UpstreamError) throw cause
      const { code, message } = cause as Error & { code?: string }
      throw new UpstreamError('unavailable', `${host} cannot be reached: ${code ?? message}`, {
        cause,
        isTransport: true,
        isUnconnected: code !== 'ECONNRESET',
      })
    }
  }

  /** Closes idle connections. */
  close(): void {
    this.session.close()
  }

  private async fetch({ url, host, serverName, proxy }: Target, init: SentInit): Promise<Response> {
    const { ca } = this.options
    const headers = { 'user-agent': `cay/${version}`, ...init.headers, ...(host !== undefined && { host }) }
    return await this.session.fetch(url, {
      ...init,
      headers,
      redirect: 'manual',
      decompress: false,
      // Bun would use the proxy of the environment, for which the address was not checked.
      proxy: proxy ?? (false as never),
      ...(serverName !== undefined && { tls: { serverName, ...(ca !== undefined && { ca }) } }),
    })
  }
}
