import { getCACertificates } from 'node:tls'
import { isLoopback } from '../../config/listen-address.ts'
import { CommandError, EXIT, reasonOf } from '../failure.ts'
import type { Transport } from './admin-client.ts'

/** A remote server, and how to connect to it. */
export interface Remote {
  /** `https://registry.example`, without a path. */
  server: URL
  /** A token of an account (`cay_...`). */
  token?: string | undefined
  /** A user name and a password, as Basic has them. */
  basic?: string
  /** PEM text of the authorities to trust, instead of the system's. */
  authorities: string | undefined
}

/** Matches the error codes of BoringSSL and Bun for certificates that are not trusted. */
const NOT_TRUSTED = /SELF_SIGNED|UNABLE_TO_|CERT_|CERTIFICATE|ALTNAME/

/** Parses the address of a remote server; HOST and HOST:PORT mean HTTPS. Throws a CommandError that says what is expected. */
export function parseServer(text: string): URL {
  const whole = text.includes('://') ? text : `https://${text}`
  const url = URL.canParse(whole) ? new URL(whole) : undefined
  const isWhole = url !== undefined && ['http:', 'https:'].includes(url.protocol) && url.host !== ''
  if (isWhole && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '')
    return url
  throw new CommandError(`invalid server "${text}": expected https://HOST:PORT`, EXIT.usage)
}

/** Connects to a server over HTTP or HTTPS, and trusts the system's authorities unless others are given. */
export function openRemote({ server, token, basic, authorities }: Remote): Transport {
  const tls: BunFetchRequestInitTLS =
    server.protocol === 'https:' ? { ca: authorities ?? getCACertificates('system') } : {}
  const authorization = token === undefined ? basic && `Basic ${basic}` : `Bearer ${token}`
  const send = async (path: string, init: RequestInit) => {
    try {
      const headers = new Headers(init.headers)
      if (authorization !== undefined) headers.set('authorization', authorization)
      return await fetch(new URL(path, server), { ...init, tls, headers })
    } catch (error) {
      if (init.signal?.aborted) throw error
      throw unreachable(server, error as NodeJS.ErrnoException)
    }
  }
  let isChecked = authorization !== undefined
  return {
    signInHint: `run cay login ${server.origin}, or set CAY_TOKEN, CAY_TOKEN_FILE or --token`,
    async fetch(path, init) {
      if (!isChecked) await requireOpenAccess(server, await send('/api/v1/caller', { redirect: 'manual' }))
      isChecked = true
      return await send(path, init)
    },
    close: async () => {},
  }
}

/** Throws a CommandError if the server answers that the caller is anonymous, and needs to sign in. */
async function requireOpenAccess({ origin }: URL, response: Response): Promise<void> {
  const caller: unknown = response.ok ? await response.json().catch(() => undefined) : undefined
  const { openAccess } = (caller ?? {}) as { openAccess?: boolean }
  if (openAccess !== false) return
  throw new CommandError(
    `not signed in to ${origin}: run cay login ${origin}, or set CAY_TOKEN to a token from cay token create`,
    EXIT.denied,
  )
}

/** Reads a text file that an option or a variable names. Throws a CommandError. */
export async function readText(path: string, name: string): Promise<string> {
  try {
    return await Bun.file(path).text()
  } catch (cause) {
    throw new CommandError(`cannot read ${path} (from ${name}): ${(cause as Error).message}`, EXIT.usage, {
      cause,
    })
  }
}

/** Reports whether others could read a token on its way to the server. */
export function isOpenToOthers({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && !isLoopback({ host: hostname.replace(/^\[|\]$/g, ''), port: 0 })
}

function unreachable({ origin }: URL, cause: NodeJS.ErrnoException): CommandError {
  const { code = '', message } = cause
  const why = NOT_TRUSTED.test(code)
    ? `the certificate of ${origin} is not trusted (${message}): run cay trust on the server to see how this host ` +
      'can trust it, or pass its authority with --ca FILE'
    : `${origin} does not answer (${reasonOf(cause)}): is cay serve running there?`
  return new CommandError(why, EXIT.unreachable, { cause })
}
