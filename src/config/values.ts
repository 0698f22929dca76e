import { join } from 'node:path'
import bytes from 'bytes-iec'
import milliseconds from 'parse-duration'
import { version } from '../../package.json'

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

/** The setting `tls`: no TLS, a certificate of cay's own authority, or one from files. */
export type TlsChoice = { kind: 'off' } | { kind: 'auto' } | { kind: 'files'; files: CertificateFiles }

/** The paths of a certificate with its chain, and of its key; both are PEM. */
export interface CertificateFiles {
  certificate: string
  key: string
}

/** Parses the setting `tls`; undefined is off. Throws an Error that lists the choices. */
export function parseTlsChoice(text: string | undefined): TlsChoice {
  if (text === undefined || text === 'off') return { kind: 'off' }
  if (text === 'auto') return { kind: 'auto' }
  const [certificate, key, ...others] = text.split(',').map((path) => path.trim())
  if (certificate && key && others.length === 0) return { kind: 'files', files: { certificate, key } }
  throw new ConfigError(
    `tls is ${JSON.stringify(text)}: expected off, auto (cay creates a certificate), or CERTIFICATE.pem,KEY.pem`,
  )
}

/** One or more numbers with units; the library ignores what it cannot read. */
const DURATION =
  /^(\d{1,9} *(?:ms|s|sec|seconds?|m|min|minutes?|h|hours?|d|days?|w|weeks?|y|years?)(?![a-z])[ ,]*)+$/
const BYTES = /^\d{1,16}(\.\d{1,9})? *([kmgtpe]i?)?b?$/i

/** Parses a duration such as `14d`, `1d 12h` or `3 days`, in milliseconds. Returns undefined for other text. */
export function parseDuration(text: string): number | undefined {
  return DURATION.test(text.trim()) ? (milliseconds(text) ?? undefined) : undefined
}

/** Parses a size such as `4GiB` (powers of 1024) or `4GB` (powers of 1000), in bytes. Returns undefined for other text. */
export function parseBytes(text: string): number | undefined {
  const size = BYTES.test(text.trim()) ? bytes.parse(text.trim()) : null
  return size === null || Number.isNaN(size) ? undefined : Math.round(size)
}

/** A setting is invalid; the message names it in the form in which it was written. */
export class ConfigError extends Error {
  override name = 'ConfigError'
}

/** The commit that the executable was built from; scripts/build.ts sets it. */
declare const CAY_COMMIT: string | undefined

/** The release, for example `0.1.0`. */
export { version }

/** The commit it was built from, with `-dirty` if files were changed; `source` if it runs from source. */
export const commit = typeof CAY_COMMIT === 'string' ? CAY_COMMIT : 'source'

/** Returns the path of the socket on which commands reach the server of a data folder. */
export function socketPath(data: string): string {
  return join(data, 'cay.sock')
}

/** Returns the path of the file that holds the generated password of the first account. */
export function initialPasswordPath(data: string): string {
  return join(data, 'initial-admin-password')
}
