import { BlockList, isIP } from 'node:net'

export interface OriginOptions {
  /** Scheme, host and port that clients use, whatever a request says. */
  externalUrl: string | undefined
  /** Addresses and networks (CIDR) of proxies whose Forwarded and X-Forwarded-* are believed. */
  trustedProxies: string[]
  /** Whether this server speaks TLS itself. */
  isTls: boolean
}

/** The scheme and host by which a client reached this registry, for the addresses that answers name. */
export class Origins {
  private readonly options: OriginOptions
  private readonly trusted = new BlockList()

  /** Throws an Error that names the setting when it is malformed. */
  constructor(options: OriginOptions) {
    this.options = options
    for (const network of options.trustedProxies) addNetwork(this.trusted, network)
  }

  /** `https://registry.example:5000` */
  of(request: Request, peer: string): string {
    if (this.options.externalUrl !== undefined) return this.options.externalUrl
    const { headers } = request
    const own = { proto: this.options.isTls ? 'https' : 'http', host: headers.get('host') ?? 'localhost' }
    if (!this.isTrusted(peer)) return `${own.proto}://${own.host}`
    const forwarded = parseForwarded(headers.get('forwarded'))
    const proto = forwarded.proto ?? firstOf(headers.get('x-forwarded-proto')) ?? own.proto
    const host = forwarded.host ?? firstOf(headers.get('x-forwarded-host')) ?? own.host
    return `${proto === 'https' ? 'https' : 'http'}://${isHost(host) ? host : own.host}`
  }

  /** The client's address: the peer's, or what a trusted proxy says. */
  clientOf(request: Request, peer: string): string {
    if (!this.isTrusted(peer)) return peer
    const hops = (request.headers.get('x-forwarded-for') ?? '').split(',').map((hop) => hop.trim())
    return hops.findLast((hop) => isIP(hop) !== 0 && !this.isTrusted(hop)) ?? peer
  }

  private isTrusted(address: string): boolean {
    const plain = address.startsWith('::ffff:') ? address.slice(7) : address
    const family = isIP(plain)
    return family !== 0 && this.trusted.check(plain, family === 4 ? 'ipv4' : 'ipv6')
  }
}

function addNetwork(list: BlockList, network: string): void {
  const [address = '', bits] = network.split('/')
  const family = isIP(address)
  const prefix = Number(bits ?? (family === 4 ? 32 : 128))
  if (family === 0 || !Number.isInteger(prefix) || prefix < 0 || prefix > (family === 4 ? 32 : 128)) {
    throw new Error(`trusted-proxies names ${JSON.stringify(network)}: expected an address, or ADDRESS/BITS`)
  }
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
}

/** The first element of `Forwarded` (RFC 7239): the one nearest to the client. */
function parseForwarded(header: string | null): { proto?: string; host?: string } {
  const pairs = (header?.split(',', 1)[0] ?? '').split(';').map((pair) => pair.trim().split('='))
  const find = (name: string) =>
    pairs.find(([key]) => key?.toLowerCase() === name)?.[1]?.replace(/^"|"$/g, '')
  const [proto, host] = [find('proto'), find('host')]
  return { ...(proto === undefined ? {} : { proto }), ...(host === undefined ? {} : { host }) }
}

function firstOf(header: string | null): string | undefined {
  return header?.split(',', 1)[0]?.trim() || undefined
}

function isHost(text: string): boolean {
  return /^[A-Za-z0-9._:[\]-]{1,255}$/.test(text)
}
