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
