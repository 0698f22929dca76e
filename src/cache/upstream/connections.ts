import { lookup } from 'node:dns/promises'
import { BlockList, connect, isIP, isIPv6 } from 'node:net'
import { LRUCache } from 'lru-cache'
import { version } from '../../config/values.ts'
import { Places, takePlaces } from '../pace.ts'
import { Deadline, type TimeLimits, UpstreamError } from './answer.ts'

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

type SentInit = { method?: string; headers: Record<string, string>; signal: AbortSignal }

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
    const how = { isTransport: true, isUnconnected: true, isTimeout: true }
    const late = new UpstreamError('unavailable', `${name} does not answer in time`, how)
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
function probe(url: URL, onOutcome: () => void) {
  const socket = connect({ host: bare(url.hostname), port: portOf(url) })
  socket.on('error', onOutcome)
  socket.on('connect', () => {
    onOutcome()
    socket.destroy()
  })
  return socket
}

/** The variables of a process. */
export type Environment = Readonly<Record<string, string | undefined>>

/** Returns the URL of the proxy that the environment names for a URL; undefined for a direct connection. */
export function proxyFor(url: URL, environment: Environment): string | undefined {
  const scheme = url.protocol === 'https:' ? 'https_proxy' : 'http_proxy'
  const proxy = read(environment, scheme) ?? read(environment, 'all_proxy')
  if (proxy === undefined || isExempt(url, environment)) return undefined
  return proxy.includes('://') ? proxy : `http://${proxy}`
}

/**
 * Reports whether NO_PROXY contains a URL's host. Entries are separated by commas or spaces: `name`, `.name` or
 * `*.name` for a name and all names below it, with or without a port, an IP address, a network such as `10.0.0.0/8`,
 * or `*`. These are the rules of Bun (1.4.5), which connects directly to these hosts even if a request names a proxy.
 */
export function isExempt(url: URL, environment: Environment): boolean {
  const entries = (read(environment, 'no_proxy') ?? '').toLowerCase().split(/[\s,]+/)
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

/** Returns a variable that is not empty, by its name in lower or in upper case. */
function read(environment: Environment, name: string): string | undefined {
  return environment[name]?.trim() || environment[name.toUpperCase()]?.trim() || undefined
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
    const began = this.monotonic()
    const deadline = new Deadline(deadlineMs, new UpstreamError('unavailable', tooMany, { isTimeout: true }))
    try {
      const place = takePlaces(this.own, this.all, deadline.signal)
      const give = await place.finally(() => deadline.extend(undefined))
      try {
        return await request(deadlineMs - (this.monotonic() - began))
      } finally {
        give()
      }
    } finally {
      this.count--
    }
  }
}

/** Where to send a request: the checked address, with the name that it is for. */
export interface Target {
  /** The URL, with a checked IP address as its host if the name was looked up. */
  url: URL
  /** The `Host` header, if the URL has an address in place of the name. */
  host?: string
  /** The name that the certificate must be for. */
  serverName?: string
  /** The URL of the proxy that makes the connection; undefined for a direct one. */
  proxy?: string | undefined
}

/** Finds the IP addresses of a name. */
export type Resolve = (hostname: string) => Promise<string[]>

/** How many addresses of one name are examined. */
const ADDRESSES_MAX = 64

export const systemResolve: Resolve = async (hostname) =>
  (await lookup(hostname, { all: true })).map(({ address }) => address)

/**
 * Decides, before connecting, where a redirect or a token's realm may point: to the endpoint's own host, to the hosts
 * of the setting `redirects`, and otherwise only to public addresses, or to private or loopback ones if the
 * endpoint's own address is of that kind. Link-local addresses, which metadata services use, are never allowed.
 */
export class Targets {
  private readonly endpoint: URL
  private readonly allowed: readonly string[]
  private readonly resolve: Resolve
  private readonly kindOf = addressKinds()
  private readonly proxyOf: (url: URL) => string | undefined

  /**
   * @param allowed hosts, `host`, `host:port` or `*.domain`
   * @param proxyOf returns the proxy for a URL. It looks up names, so only literal addresses can be checked.
   */
  constructor(
    endpoint: URL,
    allowed: readonly string[],
    resolve: Resolve,
    proxyOf: Targets['proxyOf'] = () => undefined,
  ) {
    this.endpoint = endpoint
    this.allowed = allowed
    this.resolve = resolve
    this.proxyOf = proxyOf
  }

  /**
   * Returns where to send the request.
   * @throws UpstreamError `wrong` for a refused target, `unavailable` when its name is not found
   */
  async check(url: URL): Promise<Target> {
    const { endpoint } = this
    const proxy = this.proxyOf(url)
    if (url.username !== '' || url.password !== '') throw refused(url, 'it has a user name or password')
    if (url.protocol !== 'https:' && url.protocol !== endpoint.protocol) throw refused(url, 'it is not HTTPS')
    if (url.host === endpoint.host && url.protocol === endpoint.protocol) return { url, proxy }
    const hostname = bare(url.hostname)
    if (proxy !== undefined && !isIP(hostname)) return { url, proxy }
    const addresses = await this.find(hostname)
    const kinds = new Set(addresses.slice(0, ADDRESSES_MAX).map(this.kindOf))
    const own = await this.findOwnKinds()
    const isNamed = this.allowed.some((pattern) => matchesHost(pattern, url))
    for (const kind of kinds) {
      const mayBe = kind === 'public' || (kind !== 'forbidden' && (isNamed || own.has(kind)))
      if (!mayBe) throw refused(url, `it leads to a ${kind === 'forbidden' ? 'link-local' : kind} address`)
    }
    const [address = hostname] = addresses
    if (address === hostname) return { url, proxy }
    const pinned = new URL(url)
    pinned.hostname = address.includes(':') ? `[${address}]` : address
    return { url: pinned, host: url.host, ...(url.protocol === 'https:' && { serverName: hostname }) }
  }

  /** The kinds of the endpoint's own addresses, which only its proxy knows if it has one. */
  private async findOwnKinds(): Promise<Set<AddressKind>> {
    const hostname = bare(this.endpoint.hostname)
    if (!isIP(hostname) && this.proxyOf(this.endpoint) !== undefined) return new Set()
    const addresses = await this.find(hostname)
    return new Set(addresses.map(this.kindOf))
  }

  private async find(hostname: string): Promise<string[]> {
    if (isIP(hostname)) return [hostname]
    const addresses = await this.resolve(hostname).catch((cause) => {
      throw new UpstreamError('unavailable', `the host ${hostname} is not found`, { cause })
    })
    if (addresses.length > 0) return addresses
    throw new UpstreamError('unavailable', `the host ${hostname} has no address`)
  }
}

/** Reports whether a URL's host is written as an address that cay never connects to, such as a metadata service's. */
export function isForbidden(url: URL): boolean {
  const hostname = bare(url.hostname)
  return isIP(hostname) !== 0 && addressKinds()(hostname) === 'forbidden'
}

function matchesHost(pattern: string, { hostname, host }: URL): boolean {
  if (pattern.startsWith('*.')) return hostname.endsWith(pattern.slice(1))
  return pattern === hostname || pattern === host
}

function refused(url: URL, why: string): UpstreamError {
  return new UpstreamError('wrong', `it sends cay to ${url.protocol}//${url.host}, which is refused: ${why}`)
}

/** The kind of an IP address. `forbidden`: link-local (metadata services), multicast, unspecified, reserved. */
type AddressKind = 'forbidden' | 'loopback' | 'private' | 'public'

/** The networks of each kind. Those of IPv4 also apply to addresses embedded in IPv6 addresses. */
const NETWORKS: Record<Exclude<AddressKind, 'public'>, readonly string[]> = {
  // Some cloud metadata services have a fixed address in a private range.
  forbidden: [
    '0.0.0.0/8',
    '169.254.0.0/16',
    '224.0.0.0/3',
    '::/128',
    'fe80::/10',
    'ff00::/8',
    'fd00:ec2::254/128',
  ],
  loopback: ['127.0.0.0/8', '::1/128'],
  private: [
    '10.0.0.0/8',
    '100.64.0.0/10',
    '172.16.0.0/12',
    '192.0.0.0/24',
    '192.168.0.0/16',
    '198.18.0.0/15',
    'fc00::/7',
  ],
}

/** IPv4 addresses within IPv6: mapped ones (RFC 4291, 2.5.5.2) and NAT64 (RFC 6052). */
const EMBEDDED_PREFIXES = ['::ffff:', '64:ff9b::']

/** Returns a function that tells the kind of an IP address in text form. The first kind that contains it counts. */
function addressKinds(): (address: string) => AddressKind {
  const lists = (['forbidden', 'loopback', 'private'] as const).map(
    (kind) => [kind, blockList(kind)] as const,
  )
  return (address) => {
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    return lists.find(([, list]) => list.check(address, family))?.[0] ?? 'public'
  }
}

function blockList(kind: Exclude<AddressKind, 'public'>): BlockList {
  const list = new BlockList()
  for (const network of NETWORKS[kind]) {
    const [address = '', bits] = network.split('/')
    if (isIPv6(address)) {
      list.addSubnet(address, Number(bits), 'ipv6')
      continue
    }
    list.addSubnet(address, Number(bits), 'ipv4')
    for (const prefix of EMBEDDED_PREFIXES) list.addSubnet(prefix + address, 96 + Number(bits), 'ipv6')
  }
  return list
}
