import { BlockList, isIP, isIPv6 } from 'node:net'

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
