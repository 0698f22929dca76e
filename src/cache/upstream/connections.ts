import { BlockList, connect, isIP, isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
import { version } from '../../config/values.ts'
import { Places, takePlaces } from '../pace.ts'
import { Deadline, type TimeLimits } from './body.ts'
import { UpstreamError } from './failure.ts'
import type { Target } from './targets.ts'

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

/** A host that responded this recently is not probed, because its connections are still open. */
const KNOWN_MILLISECONDS = 30_000

/** How many hosts are remembered: the endpoint's, its token service's, and those of redirects. */
const HOSTS_MAX = 100

/**
 * Adds a connect timeout, which Bun's fetch (1.4.5) does not have. The first request to a host after a while opens and
 * closes a second connection to it. If that cannot connect in time, the request is aborted, so that the next mirror can
 * be tried.
 */
class ConnectProbe {
  private readonly milliseconds: number
  private readonly monotonic: () => number
  private readonly answeredAt = new LRUCache<string, number>({ max: HOSTS_MAX })

  constructor(milliseconds: number, monotonic: () => number) {
    this.milliseconds = milliseconds
    this.monotonic = monotonic
  }

  /**
   * Runs a request, with a signal that is aborted with an UpstreamError if the host cannot be connected to in time.
   *
   * @param name the host, for people
   */
  async guard<T>(
    url: URL,
    name: string,
    signal: AbortSignal,
    request: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const answeredAt = this.answeredAt.get(url.host)
    if (answeredAt !== undefined && this.monotonic() - answeredAt < KNOWN_MILLISECONDS)
      return await request(signal)
    const late = new UpstreamError('unavailable', `${name} does not answer in time`, {
      isTransport: true,
      isUnconnected: true,
      isTimeout: true,
    })
    const deadline = new Deadline(this.milliseconds, late)
    const socket = probe(url, () => deadline.extend(undefined))
    try {
      const result = await request(AbortSignal.any([signal, deadline.signal]))
      this.answeredAt.set(url.host, this.monotonic())
      return result
    } finally {
      deadline.extend(undefined)
      socket.destroy()
    }
  }
}

/** Opens and closes a connection. Any outcome ends the wait. The request itself reports errors. */
function probe({ protocol, hostname, port }: URL, onOutcome: () => void) {
  const host = hostname.replace(/^\[|\]$/g, '')
  const socket = connect({ host, port: Number(port) || (protocol === 'https:' ? 443 : 80) })
  socket.on('error', onOutcome)
  socket.on('connect', () => {
    onOutcome()
    socket.destroy()
  })
  return socket
}

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** The variables with a proxy for all schemes. */
const FOR_ALL = ['all_proxy', 'ALL_PROXY']

/** The variables with the hosts that no proxy is used for. */
const EXCEPTIONS = ['no_proxy', 'NO_PROXY']

/** Returns the URL of the proxy that the environment names for a URL; undefined for a direct connection. */
export function proxyFor(url: URL, environment: Environment): string | undefined {
  const scheme = url.protocol === 'https:' ? 'https_proxy' : 'http_proxy'
  const proxy = read(environment, [scheme, scheme.toUpperCase(), ...FOR_ALL])
  if (proxy === undefined || isExempt(url, environment)) return undefined
  return proxy.includes('://') ? proxy : `http://${proxy}`
}

/**
 * Reports whether NO_PROXY contains a URL's host. Entries are separated by commas or spaces: `name`, `.name` or
 * `*.name` for a name and all names below it, with or without a port, an IP address, a network such as `10.0.0.0/8`,
 * or `*`. These are the rules of Bun (1.4.5), which connects directly to these hosts even if a request names a proxy.
 */
export function isExempt(url: URL, environment: Environment): boolean {
  const entries = (read(environment, EXCEPTIONS) ?? '').toLowerCase().split(/[\s,]+/)
  return entries.some((entry) => entry !== '' && matches(entry, url))
}

function matches(entry: string, url: URL): boolean {
  if (entry === '*') return true
  const hostname = trimDot(bare(url.hostname))
  const { name, port } = parseEntry(entry)
  if (port !== undefined && port !== portOf(url)) return false
  if (isIP(hostname) !== 0) return isWithin(hostname, name)
  return name !== '' && (hostname === name || hostname.endsWith(`.${name}`))
}

function parseEntry(entry: string): { name: string; port: number | undefined } {
  const isPlain = isIPv6(entry.replace(/\/.*/, ''))
  const [, host = entry, port] = isPlain ? [] : (/^(.*?):(\d+)$/.exec(entry) ?? [])
  return {
    name: trimDot(bare(host).replace(/^\*?\./, '')),
    port: port === undefined ? undefined : Number(port),
  }
}

/** @param network an IP address, or the first one of a network with its number of bits */
function isWithin(address: string, network: string): boolean {
  const [, base = network, bits] = /^(.*)\/(\d{1,3})$/.exec(network) ?? []
  const bitsMax = isIP(base) === 4 ? 32 : 128
  const count = Number(bits ?? bitsMax)
  if (isIP(base) !== isIP(address) || count > bitsMax) return false
  const family = bitsMax === 32 ? 'ipv4' : 'ipv6'
  const list = new BlockList()
  list.addSubnet(base, count, family)
  return list.check(address, family)
}

function portOf({ port, protocol }: URL): number {
  return Number(port) || (protocol === 'https:' ? 443 : 80)
}

/** The host without the brackets of an IPv6 address. */
function bare(host: string): string {
  return host.replace(/^\[|\]$/g, '')
}

/** The name without the dot that ends a fully qualified one. */
function trimDot(name: string): string {
  return name.replace(/\.$/, '')
}

/** Returns the first variable that is not empty. */
function read(environment: Environment, names: readonly string[]): string | undefined {
  return names.map((name) => environment[name]?.trim()).find((value) => value !== undefined && value !== '')
}

/** How many requests are sent to one upstream at the same time, besides downloads of blobs. */
const OWN_MAX = 40

/** How many more wait for one upstream. Further ones are refused. */
const WAITING_MAX = 1000

/** How many requests are sent to all upstreams at the same time, besides downloads of blobs, of which there are 64. */
const ALL_MAX = 120

/** Creates the places that all upstreams share. */
export function sharedRequestPlaces(): Places {
  return new Places(ALL_MAX)
}

/**
 * Limits the requests to one upstream. Bun (1.4.5) sends at most 256 requests at a time, to all hosts together, and queues
 * the rest, so without a limit a silent upstream would delay the requests to all others.
 */
export class RequestPlaces {
  private readonly own = new Places(OWN_MAX)
  private readonly all: Places
  private readonly monotonic: () => number
  private count = 0

  constructor(all: Places, monotonic: () => number) {
    this.all = all
    this.monotonic = monotonic
  }

  /**
   * Runs a request when it has a place, with the time that is left.
   *
   * @param name the upstream, for people
   * @throws UpstreamError if too many wait already, or if there is no place in time
   */
  async run<T>(name: string, deadlineMs: number, request: (leftMs: number) => Promise<T>): Promise<T> {
    const tooMany = `too many requests are waiting for ${name}`
    if (this.count >= OWN_MAX + WAITING_MAX)
      throw new UpstreamError('unavailable', tooMany, { retryAfterSeconds: 1 })
    this.count++
    try {
      const began = this.monotonic()
      const give = await this.take(deadlineMs, tooMany)
      try {
        return await request(deadlineMs - (this.monotonic() - began))
      } finally {
        give()
      }
    } finally {
      this.count--
    }
  }

  private async take(deadlineMs: number, tooMany: string): Promise<() => void> {
    const deadline = new Deadline(deadlineMs, new UpstreamError('unavailable', tooMany, { isTimeout: true }))
    try {
      return await takePlaces(this.own, this.all, deadline.signal)
    } finally {
      deadline.extend(undefined)
    }
  }
}
