import { hostname, networkInterfaces } from 'node:os'
import type { TlsChoice } from '../config/tls-choice.ts'
import { openAutomatic } from './automatic.ts'
import { openCertificateFiles } from './certificate-files.ts'
import type { Tls, TlsOptions } from './served-certificate.ts'

/** How often `check` should be called, in seconds. */
export const TLS_CHECK_SECONDS = 60

/**
 * Opens the TLS of a setting. Returns undefined when TLS is off.
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
