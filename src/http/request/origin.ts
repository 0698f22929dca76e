import { BlockList, isIP } from 'node:net'
import { networkOf } from '../../domain/client-network.ts'

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
    const host = headers.get('host') ?? ''
    const own = { proto: this.options.isTls ? 'https' : 'http', host: isHost(host) ? host : 'localhost' }
    if (!this.isTrusted(peer)) return `${own.proto}://${own.host}`
    const [first] = parseForwarded(headers.get('forwarded'))
    const proto = first?.proto ?? firstOf(headers.get('x-forwarded-proto')) ?? own.proto
    const named = first?.host ?? firstOf(headers.get('x-forwarded-host')) ?? own.host
    return `${proto === 'https' ? 'https' : 'http'}://${isHost(named) ? named : own.host}`
  }

  /** The client's address: the peer's, or what a trusted proxy says. */
  clientOf(request: Request, peer: string): string {
    if (!this.isTrusted(peer)) return peer
    const { headers } = request
    const hops =
      headers.get('x-forwarded-for')?.split(',') ??
      parseForwarded(headers.get('forwarded')).map((hop) => hop.for ?? '')
    // Each proxy adds the hop before it: what is left of the last one that is not trusted, a client may have made up.
    return hops.map(addressIn).findLast((hop) => isIP(hop) !== 0 && !this.isTrusted(hop)) ?? peer
  }

  /**
   * What the requests of a client are counted by: its network. Undefined for a trusted proxy that does not say for whom
   * it asks, as its requests are those of many.
   */
  countedAs(request: Request, peer: string): string | undefined {
    const address = this.clientOf(request, peer)
    return address === '' || this.isTrusted(address) ? undefined : networkOf(address)
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

/** The elements of `Forwarded` (RFC 7239), the one nearest to the client first. */
function parseForwarded(header: string | null): Record<string, string>[] {
  return (header?.split(',') ?? []).map((element) =>
    Object.fromEntries(
      element.split(';').map((pair) => {
        const [key = '', value = ''] = pair.trim().split('=')
        return [key.toLowerCase(), value.replace(/^"|"$/g, '')]
      }),
    ),
  )
}

/** The address of a hop, which may have a port, and brackets when it is one of IPv6. */
function addressIn(hop: string): string {
  const text = hop.trim()
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1]
  return bracketed ?? (/^[\d.]+:\d+$/.test(text) ? (text.split(':')[0] ?? '') : text)
}

function firstOf(header: string | null): string | undefined {
  return header?.split(',', 1)[0]?.trim() || undefined
}

function isHost(text: string): boolean {
  return /^[A-Za-z0-9._:[\]-]{1,255}$/.test(text)
}
