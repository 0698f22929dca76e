import type { Config } from '../../config/config-schema.ts'
import { isLoopback, parseListenAddress } from '../../config/listen-address.ts'
import { parseTlsChoice } from '../../config/tls-choice.ts'
import { authorityOf } from '../../core/host-trust.ts'
import { CommandError, EXIT, reasonOf } from '../failure.ts'

const SECONDS_MAX = 5

/** Requests /readyz of the server. Prints its answer. Returns 0 if it is ready, and 1 if not. */
export async function askHealth(config: Config, url: string | undefined): Promise<number> {
  const base = url ?? configuredUrl(config)
  try {
    const response = await fetch(new URL('/readyz', base), {
      signal: AbortSignal.timeout(SECONDS_MAX * 1000),
      tls: await tlsFor(new URL(base), config),
    })
    const { status } = (await response.json()) as { status: string }
    process.stdout.write(`${status}\n`)
    return response.ok ? 0 : 1
  } catch (error) {
    const reason = reasonOf(error as Error)
    throw new CommandError(
      `${base} does not answer (${reason}): is cay serve running there?`,
      EXIT.unreachable,
      { cause: error },
    )
  }
}

function configuredUrl({ listen, tls }: Config): string {
  const scheme = parseTlsChoice(tls).kind === 'off' ? 'http' : 'https'
  const { host, port } = parseListenAddress(listen[0] ?? '')
  const asked = { '': '127.0.0.1', '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host
  return `${scheme}://${asked.includes(':') ? `[${asked}]` : asked}:${port}`
}

/**
 * Returns how to verify the server's certificate: by the authority in the data folder, if there is one. A certificate
 * from files is for the name that clients use, so it is not verified on loopback; the request contains no secret.
 */
async function tlsFor(url: URL, { data, tls }: Config): Promise<BunFetchRequestInitTLS> {
  if (url.protocol !== 'https:') return {}
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (parseTlsChoice(tls).kind === 'files') return { rejectUnauthorized: !isLoopback({ host, port: 0 }) }
  const authority = await authorityOf(data)
  return authority === undefined ? {} : { ca: authority.certificate }
}
