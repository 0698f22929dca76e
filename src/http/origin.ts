import { BlockList, isIP } from 'node:net'
import { type Condition, networkOf } from '../access/access.ts'
import { ConfigError } from '../config/values.ts'
import { registryError } from '../oci/error.ts'
import { ownText } from '../runtime/clock.ts'

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
  const bitsMax = family === 4 ? 32 : 128
  const prefix = Number(bits ?? bitsMax)
  if (family === 0 || !Number.isInteger(prefix) || prefix < 0 || prefix > bitsMax) {
    const named = JSON.stringify(network)
    throw new ConfigError(`trusted-proxies names ${named}: expected an address, or ADDRESS/BITS`)
  }
  list.addSubnet(address, prefix, family === 4 ? 'ipv4' : 'ipv6')
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
  if (proto === null && host === null && addresses === null) {
    // RFC 7239
    return elementsOf(headers.get('forwarded')).map((element) =>
      Object.fromEntries(
        element.split(';', PAIRS_MAX).map((pair) => {
          const [key = '', value = ''] = pair.trim().split('=')
          return [key.toLowerCase(), value.replace(/^"|"$/g, '')]
        }),
      ),
    )
  }
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

/**
 * Returns the condition of a change, from `If-Match` and `If-None-Match`.
 *
 * @param takesWeak whether `If-Match` also accepts weak entity tags, against RFC 9110, 13.1.1. Where tags are digests, weak
 *   ones are as good.
 */
export function conditionOf({ headers }: Request, takesWeak = false): Condition | undefined {
  const [ifMatch, ifNoneMatch] = [headers.get('if-match'), headers.get('if-none-match')]
  if (ifMatch === null && ifNoneMatch === null) return undefined
  return { ifMatch: parseTags(ifMatch, takesWeak), ifNoneMatch: parseTags(ifNoneMatch, true) }
}

/** Reports whether the client already has what it asks for, by `If-None-Match`, so that it gets 304 (RFC 9110, 13.1.2). */
export function isKnown({ headers }: Request, tag: string): boolean {
  const known = parseTags(headers.get('if-none-match'), true)
  return known !== undefined && (known.includes('*') || known.includes(tag))
}

/** Parses a list of entity tags. Returns them without quotes. */
function parseTags(header: string | null, takesWeak: boolean): string[] | undefined {
  return header?.split(',').flatMap((entry) => {
    const [, weak, quoted, bare] = /^(W\/)?(?:"([^"]*)"|(\S*))$/.exec(entry.trim()) ?? []
    return weak !== undefined && !takesWeak ? [] : [quoted ?? bare ?? '']
  })
}

/** Reports whether a text is a name or an address, with or without a port, as a Host header has it (RFC 9110, 7.2). */
export function isHost(text: string): boolean {
  // A number too large for an address, or a port above 65535, matches the pattern, but makes no URL.
  return text.length <= 300 && HOST.test(text) && URL.canParse(`http://${text}/`)
}

const HOST = /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{0,5})?$/

/** A path keeps at most so many other characters of its URL in memory. Copying each would cost 0.3 us. */
const SHARED_CHARACTERS_MAX = 512

/** Returns the path of an absolute URL, without its query and not decoded. */
export function pathOf(url: string): string {
  const start = url.indexOf('/', url.indexOf('//') + 2)
  const end = url.indexOf('?', start)
  const path = end < 0 ? url.slice(start) : url.slice(start, end)
  return url.length - path.length > SHARED_CHARACTERS_MAX ? ownText(path) : path
}

/** Headers for pushed content, so that a browser never renders or runs it, whatever its type. */
export const INERT = {
  'x-content-type-options': 'nosniff',
  'content-security-policy': "default-src 'none'; sandbox",
} as const

/**
 * Throws DENIED for a change that a browser sends on behalf of another site. Clients other than browsers send no origin
 * and pass.
 */
export function refuseForeign(request: Request): void {
  if (isSafe(request)) return
  const { headers } = request
  const site = headers.get('sec-fetch-site')
  const origin = headers.get('origin')
  const isOwn = site === null ? origin === null || isHostOf(origin, headers) : OWN_SITES.includes(site)
  if (!isOwn) throw registryError('DENIED', 'cross-site request denied')
}

const OWN_SITES: readonly string[] = ['same-origin', 'none']

/** Compares without the scheme, because a proxy may terminate TLS. */
function isHostOf(origin: string, headers: Headers): boolean {
  const hosts = [headers.get('host'), headers.get('x-forwarded-host')]
  return URL.canParse(origin) && hosts.includes(new URL(origin).host)
}

export function isSafe({ method }: Request): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS'
}
