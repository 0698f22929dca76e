/** Where to listen. */
export interface ListenAddress {
  host: string
  port: number
}

/** Parses `HOST:PORT`, `[::1]:PORT` or `:PORT`. Throws an Error that says what is wrong. */
export function parseListenAddress(text: string): ListenAddress {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(text)
  const port = Number(match?.[3])
  if (!match || port > 65_535) {
    throw new Error(
      `listen is ${JSON.stringify(text)}: expected HOST:PORT, for example 127.0.0.1:5000 or [::1]:5000`,
    )
  }
  return { host: match[1] ?? match[2] ?? '', port }
}

/** Whether only this machine reaches the address. */
export function isLoopback({ host }: ListenAddress): boolean {
  return host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host)
}

/** Who may do what, and whether somebody chose how connections are encrypted: `off` is a choice, too. */
export interface Protection {
  access: 'accounts' | 'open'
  hasTlsChoice: boolean
}

/** Why these addresses must not be listened on with this protection; undefined when they may be. */
export function refuseToListen(
  listen: ListenAddress[],
  { access, hasTlsChoice }: Protection,
): string | undefined {
  const reached = listen.find((address) => !isLoopback(address))
  if (reached === undefined || (access === 'accounts' && hasTlsChoice)) return undefined
  const why =
    access === 'open'
      ? 'and access is open: everybody could do everything; use access = accounts, or'
      : 'and nothing says how connections are encrypted; choose --tls auto (an authority of its own), ' +
        '--tls cert.pem,key.pem, or --tls off (a proxy in front encrypts), or'
  return `listen names ${reached.host || 'every address'}, which other machines reach, ${why} listen on loopback only: use 127.0.0.1 or [::1]`
}
