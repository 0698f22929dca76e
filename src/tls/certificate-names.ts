import { isIP } from 'node:net'
import { ConfigError } from '../config/values.ts'

/** The names and addresses that a certificate covers. */
export interface CertificateNames {
  dns: string[]
  addresses: string[]
}

export interface HostFacts {
  /** From os.hostname(). */
  hostname: string
  /** The addresses of its interfaces. */
  addresses: string[]
  /** The setting `host`: additional names and addresses, for example of a router that forwards to this host. */
  named: string[]
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * Returns what a certificate for this host should cover: loopback, the host's own name and addresses, and the setting
 * `host`. Link-local addresses are left out, and so is a host name that is not a valid DNS name.
 *
 * @throws Error when `host` has something that is neither a name nor an address
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
    else
      throw new ConfigError(
        `host: ${JSON.stringify(name)} is neither a name nor an address; write it without a port`,
      )
  }
  return { dns: [...new Set(dns)], addresses: [...new Set(found.map(canonicalAddress))] }
}

/** Normalizes an address for comparison, because IPv6 addresses can be written in several ways. */
export function canonicalAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}

/** Reports whether a certificate covers every wanted name and address. */
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
