import { BlockList, isIP } from 'node:net'
import { ConfigError } from '../../config/config-error.ts'
import { networkOf } from '../../domain/access/client-network.ts'
import { ownText } from '../../own-text.ts'
import { isHost } from './host.ts'

/** How many hops are read. Of a longer list, which only a client sends, these are the first and the last ones. */
const HOPS_MAX = 32
const PAIRS_MAX = 8

export interface OriginOptions {
  /** The scheme, host and port that clients use; overrides what requests say. */
  externalUrl: string | undefined
  /** Addresses and networks (CIDR) of proxies whose Forwarded and X-Forwarded-* headers are trusted. */
  trustedProxies: string[]
  /** Whether this server terminates TLS itself. */
  isTls: boolean
}

/** Finds the scheme and host by which a client reached this registry, for the URLs in responses. */
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
    const { proto = own.proto, host: named = own.host } = forwardedBy(headers)[0] ?? {}
    return `${proto === 'https' ? 'https' : 'http'}://${isHost(named) ? named : own.host}`
  }

  /** Returns the client's address: the peer's, or the one that a trusted proxy reports. */
  clientOf(request: Request, peer: string): string {
    if (!this.isTrusted(peer)) return peer
    const nearest = forwardedBy(request.headers).slice(1 - HOPS_MAX)
    const hops = nearest.map((hop) => hop.for ?? '')
    // Each proxy appends the hop before it. The client may have made up everything before the last untrusted hop.
    const found = hops.map(addressIn).findLast((hop) => isIP(hop) !== 0 && !this.isTrusted(hop))
    return found === undefined ? peer : ownText(found)
  }

  /**
   * Returns the network that a client's requests are counted under. Undefined for a trusted proxy that does not report
   * the client, because its requests come from many.
   */
  countedAs(address: string): string | undefined {
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
    throw new ConfigError(
      `trusted-proxies names ${JSON.stringify(network)}: expected an address, or ADDRESS/BITS`,
    )
  }
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
}

/** Parses the elements of `Forwarded` (RFC 7239), the one nearest to the client first. */
function parseForwarded(header: string | null): Hop[] {
  return elementsOf(header).map((element) =>
    Object.fromEntries(
      element.split(';', PAIRS_MAX).map((pair) => {
        const [key = '', value = ''] = pair.trim().split('=')
        return [key.toLowerCase(), value.replace(/^"|"$/g, '')]
      }),
    ),
  )
}

/** Returns the address of a hop without its port and the brackets of IPv6. */
function addressIn(hop: string): string {
  const text = hop.trim()
  const bracketed = /^\[([^\]]+)\](?::\d+)?$/.exec(text)?.[1]
  return bracketed ?? (/^[\d.]+:\d+$/.test(text) ? (text.split(':')[0] ?? '') : text)
}

interface Hop {
  proto?: string | undefined
  host?: string | undefined
  for?: string | undefined
}

/**
 * Returns what the proxies report of the request, the one nearest to the client first. If they set X-Forwarded-*, the
 * Forwarded header is ignored: most proxies do not know it and pass on what the client sent.
 */
function forwardedBy(headers: Headers): Hop[] {
  const [proto, host, addresses] = FAMILY.map((name) => headers.get(name))
  if (proto === null && host === null && addresses === null) return parseForwarded(headers.get('forwarded'))
  const hops: Hop[] = elementsOf(addresses).map((address) => ({ for: address }))
  if (hops.length === 0) hops.push({})
  return hops.with(0, { ...hops[0], proto: firstOf(proto), host: firstOf(host) })
}

function elementsOf(header: string | null | undefined): string[] {
  const [first, ...others] = header?.split(',') ?? []
  return first === undefined ? [] : [first, ...others.slice(1 - HOPS_MAX)]
}

const FAMILY = ['x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-for'] as const

function firstOf(header: string | null | undefined): string | undefined {
  return header?.split(',', 1)[0]?.trim() || undefined
}
