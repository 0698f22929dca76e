import { isIP } from 'node:net'

/**
 * The hosts that a request may name where access is open: names of loopback, and those that the configuration has. A
 * page of another site can have its own name point to 127.0.0.1, and its scripts then count as of the same origin; but
 * they cannot change the Host that the browser sends.
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

/** Without the port, and without the brackets of IPv6. */
function nameOf(host: string): string {
  const bracketed = /^\[(.*)\](?::\d*)?$/.exec(host)?.[1]
  const isAddress = isIP(host) === 6
  return (bracketed ?? (isAddress ? host : host.replace(/:\d*$/, ''))).toLowerCase()
}
