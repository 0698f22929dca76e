import { ConfigError } from './config-error.ts'
import type { Config } from './config-schema.ts'
import { type ListenAddress, parseListenAddress, refuseToListen } from './listen-address.ts'
import { parseTlsChoice, type TlsChoice } from './tls-choice.ts'
import { parseMirrors, readUpstreams } from './upstreams.ts'

/** Where a server listens, and with which certificate. */
export interface CheckedListening {
  listen: ListenAddress[]
  mirrors: { upstream: string; address: ListenAddress }[]
  tlsChoice: TlsChoice
}

/**
 * Parses where a server listens, and checks its upstreams.
 * @throws ConfigError with the setting and its value
 */
export function checkListening(config: Config): CheckedListening {
  const listen = config.listen.map(parseListenAddress)
  const mirrors = parseMirrors(config).map(({ upstream, listen: text }) => ({
    upstream,
    address: parseListenAddress(text),
  }))
  const tlsChoice = parseTlsChoice(config.tls)
  const refusal = refuseToListen([...listen, ...mirrors.map(({ address }) => address)], {
    access: config.access,
    hasTlsChoice: config.tls !== undefined,
  })
  if (refusal !== undefined) throw new ConfigError(refusal)
  readUpstreams(config)
  return { listen, mirrors, tlsChoice }
}
