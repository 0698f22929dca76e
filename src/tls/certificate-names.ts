import { isIP } from 'node:net'

/** The names and addresses that a certificate is for. */
export interface CertificateNames {
  dns: string[]
  addresses: string[]
}

export interface HostFacts {
  /** As os.hostname(). */
  hostname: string
  /** The addresses of its interfaces. */
  addresses: string[]
  /** The setting `host`: further names and addresses, for example of a router that forwards to this host. */
  named: string[]
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * What a certificate for this host should name: loopback, the host's own name and addresses, and what the setting
 * `host` adds. Addresses that hold on one link only are left out, and a host's name that is none in DNS.
 *
 * @throws Error when `host` has what is neither a name nor an address
 */
export function certificateNames({ hostname, addresses, named }: HostFacts): CertificateNames {
  const dns = ['localhost']
  const found = ['127.0.0.1', '::1']
  const own = hostname.toLowerCase()
  if (isHostName(own)) dns.push(own)
  found.push(...addresses.filter((address) => isIP(address) !== 0 && !isLinkLocal(address)))
  for (const name of named.map((text) => text.toLowerCase())) {
    if (isIP(name) !== 0) found.push(name)
    else if (isHostName(name.replace(/^\*\./, ''))) dns.push(name)
    else throw new Error(`host names ${JSON.stringify(name)}: expected names and addresses, without a port`)
  }
  return { dns: [...new Set(dns)], addresses: [...new Set(found.map(canonicalAddress))] }
}

/** An address in the one form in which it is compared: IPv6 has several. */
export function canonicalAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}

/** Whether each name and address that is wanted is among those there are. */
export function coversNames(there: CertificateNames, wanted: CertificateNames): boolean {
  return (
    wanted.dns.every((name) => there.dns.includes(name)) &&
    wanted.addresses.every((address) => there.addresses.includes(address))
  )
}

function isHostName(text: string): boolean {
  return text.length <= 253 && text.split('.').every((label) => LABEL.test(label))
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address) || address.startsWith('169.254.')
}
