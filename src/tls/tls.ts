import { hostname, networkInterfaces } from 'node:os'
import type { Logger } from 'pino'
import type { Authority } from './authority.ts'
import { openAutomatic } from './automatic.ts'
import { openCertificateFiles } from './certificate-files.ts'
import type { TlsChoice } from './choice.ts'
import type { Credentials } from './key-pair.ts'

/** What the server shows, and when that changes. */
export interface Tls {
  /** What new connections get now. */
  credentials(): Credentials
  /** Where it is cay's own: what others need to trust it. */
  authority: Authority | undefined
  /** Looks whether another certificate is needed, or there; tells `onChange`. */
  check(): Promise<void>
  close(): void
}

export interface TlsOptions {
  /** The data folder. */
  data: string
  log: Logger
  /** Milliseconds since 1970. */
  now: () => number
  /** Called with what new connections are to get from now on. */
  onChange: (credentials: Credentials) => void
}

/** How often `check` should be called, in seconds. */
export const TLS_CHECK_SECONDS = 60

/**
 * What a choice means: the certificate, or undefined without TLS.
 *
 * @param named the setting `host`
 * @throws Error when the certificate cannot be made, read or used
 */
export async function openTls(
  choice: TlsChoice,
  named: string[],
  options: TlsOptions,
): Promise<Tls | undefined> {
  if (choice.kind === 'off') return undefined
  if (choice.kind === 'files') return openCertificateFiles({ ...options, files: choice.files })
  return openAutomatic({ ...options, facts: () => ({ hostname: hostname(), addresses: addresses(), named }) })
}

function addresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((entries) =>
    (entries ?? []).map(({ address }) => address),
  )
}
