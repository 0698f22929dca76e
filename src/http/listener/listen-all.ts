import type { Logger } from 'pino'
import type { ListenAddress } from '../../config/listen-address.ts'

/** Listens on all addresses. Skips those of an address family that this machine lacks, if another one works. */
export function listenAll<T>(
  listen: ListenAddress[],
  log: Logger,
  serve: (address: ListenAddress) => T,
): T[] {
  const servers: T[] = []
  let failure: unknown
  for (const address of listen) {
    try {
      servers.push(serve(address))
    } catch (error) {
      failure = explain(error, address)
      if (address.host !== '::1' || listen.length === 1) throw failure
      log.debug({ cause: failure }, 'this machine has no [::1]')
    }
  }
  if (servers.length === 0) throw failure
  return servers
}

function explain(error: unknown, { host, port }: ListenAddress): Error {
  const { code, message } = error as NodeJS.ErrnoException
  if (code !== 'EADDRINUSE') return new Error(`cannot listen on ${host}:${port}: ${message}`)
  const likely = process.platform === 'darwin' && port === 5000 ? ' (likely by AirPlay Receiver)' : ''
  return new Error(`port ${port} is in use${likely}: choose another one with --listen ${host}:PORT`)
}
