import { lookup } from 'node:dns/promises'
import { BlockList, isIP, isIPv6 } from 'node:net'
import { UpstreamError } from './failure.ts'

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
    const hostname = bare(url)
    if (proxy !== undefined && !isIP(hostname)) return { url, proxy }
    const addresses = isIP(hostname) ? [hostname] : await this.find(hostname)
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
    const hostname = bare(this.endpoint)
    if (!isIP(hostname) && this.proxyOf(this.endpoint) !== undefined) return new Set()
    const addresses = isIP(hostname) ? [hostname] : await this.find(hostname)
    return new Set(addresses.map(this.kindOf))
  }

  private async find(hostname: string): Promise<string[]> {
    try {
      const addresses = await this.resolve(hostname)
      if (addresses.length > 0) return addresses
    } catch (cause) {
      throw new UpstreamError('unavailable', `the host ${hostname} is not found`, { cause })
    }
    throw new UpstreamError('unavailable', `the host ${hostname} has no address`)
  }
}

/** Reports whether a URL's host is written as an address that cay never connects to, such as a metadata service's. */
export function isForbidden(url: URL): boolean {
  const hostname = bare(url)
  return isIP(hostname) !== 0 && addressKinds()(hostname) === 'forbidden'
}

/** The host without the brackets of an IPv6 address. */
function bare({ hostname }: URL): string {
  return hostname.replace(/^\[|\]$/g, '')
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

/** IPv4 networks, which also apply to addresses embedded in IPv6 addresses. */
const NETWORKS: Record<Exclude<AddressKind, 'public'>, readonly [address: string, bits: number][]> = {
  forbidden: [
    ['0.0.0.0', 8],
    ['169.254.0.0', 16],
    ['224.0.0.0', 3],
  ],
  loopback: [['127.0.0.0', 8]],
  private: [
    ['10.0.0.0', 8],
    ['100.64.0.0', 10],
    ['172.16.0.0', 12],
    ['192.0.0.0', 24],
    ['192.168.0.0', 16],
    ['198.18.0.0', 15],
  ],
}

/** IPv4 addresses within IPv6: mapped ones (RFC 4291, 2.5.5.2) and NAT64 (RFC 6052). */
const EMBEDDED_PREFIXES = ['::ffff:', '64:ff9b::']

const NETWORKS_6: typeof NETWORKS = {
  // Some cloud metadata services have a fixed address in a private range.
  forbidden: [
    ['::', 128],
    ['fe80::', 10],
    ['ff00::', 8],
    ['fd00:ec2::254', 128],
  ],
  loopback: [['::1', 128]],
  private: [['fc00::', 7]],
}

const KINDS = ['forbidden', 'loopback', 'private'] as const

/** Returns the kind of an IP address in text form. */
function addressKinds(): (address: string) => AddressKind {
  const lists = KINDS.map((kind) => [kind, blockList(kind)] as const)
  return (address) => {
    const family = isIPv6(address) ? 'ipv6' : 'ipv4'
    return lists.find(([, list]) => list.check(address, family))?.[0] ?? 'public'
  }
}

function blockList(kind: (typeof KINDS)[number]): BlockList {
  const list = new BlockList()
  for (const [address, bits] of NETWORKS[kind]) {
    list.addSubnet(address, bits, 'ipv4')
    for (const prefix of EMBEDDED_PREFIXES) list.addSubnet(prefix + address, 96 + bits, 'ipv6')
  }
  for (const [address, bits] of NETWORKS_6[kind]) list.addSubnet(address, bits, 'ipv6')
  return list
}
