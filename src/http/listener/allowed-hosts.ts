import { isIP } from 'node:net'

/**
 * The hosts that a request may name when access is open: loopback and the configured names. This stops DNS rebinding.
 * Another site can point its own name at 127.0.0.1, which makes its scripts same-origin, but the browser then sends
 * that name as the Host.
 */
export class AllowedHosts {
  private readonly names: ReadonlySet<string>

  constructor(names: string[]) {
    this.names = new Set(names.map(nameOf))
  }

  includes(host: string): boolean {
    const name = nameOf(host)
    if (name === '' || name === 'localhost' || name.endsWith('.localhost')) return true
    return name === '::1' || (isIP(name) === 4 && name.startsWith('127.')) || this.names.has(name)
  }
}

/** Returns the host without its port and without the brackets of IPv6. */
function nameOf(host: string): string {
  const bracketed = /^\[(.*)\](?::\d*)?$/.exec(host)?.[1]
  const isAddress = isIP(host) === 6
  return (bracketed ?? (isAddress ? host : host.replace(/:\d*$/, ''))).toLowerCase()
}
