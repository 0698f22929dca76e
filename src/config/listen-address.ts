import { ConfigError } from './config-error.ts'
/** An address to listen on; the empty host is every address. */
export interface ListenAddress {
  host: string
  port: number
}

/** Parses `HOST:PORT`, `[::1]:PORT` or `:PORT`. Throws an Error that says what is expected. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) {
    throw new ConfigError(
      `listen is ${JSON.stringify(text)}: expected HOST:PORT, for example 127.0.0.1:5000 or [::1]:5000`,
    )
  }
  return { host: match[1] ?? match[2] ?? '', port }
}

/** Reports whether only this machine can reach the address. */
export function isLoopback({ host }: ListenAddress): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** Reports whether only privileged processes can listen on the address. */
export function hasLowPort(text: string): boolean {
  const { port } = parseListenAddress(text)
  return port > 0 && port < 1024
}

/** How the server is protected; `hasTlsChoice` is also set if somebody chose `off`. */
export interface Protection {
  access: 'accounts' | 'open'
  hasTlsChoice: boolean
}

/** Returns why cay must not listen on these addresses with this protection; undefined if it can. */
export function refuseToListen(
  listen: ListenAddress[],
  { access, hasTlsChoice }: Protection,
): string | undefined {
  const reached = listen.find((address) => !isLoopback(address))
  if (reached === undefined || (access === 'accounts' && hasTlsChoice)) return undefined
  const why =
    access === 'open'
      ? 'but access is open, so everybody could do everything; use access = accounts, or'
      : 'but TLS is not configured; choose --tls auto (its own authority), --tls cert.pem,key.pem, ' +
        'or --tls off (for example behind a proxy that terminates TLS), or'
  return `listen includes ${reached.host || 'every address'}, which other machines can reach, ${why} listen on loopback only: use 127.0.0.1 or [::1]`
}
