import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { ConfigError } from '../config/config-error.ts'
import type { Credentials } from '../domain/server-certificate.ts'

/** Where a certificate and its key come from, as written in the setting. */
export interface CredentialsSource {
  certificate: string
  key: string
}

/**
 * Parses a certificate and checks that the key belongs to it.
 *
 * @param source the names to use in errors
 * @throws Error naming the file and what is wrong with it
 */
export function checkCredentials(
  { certificate, key }: Credentials,
  source: CredentialsSource,
): X509Certificate {
  const parsed = parseCertificate(certificate, source.certificate)
  if (!parsed.checkPrivateKey(parseKey(key, source.key)))
    throw new ConfigError(`${source.key} is not the key of the certificate in ${source.certificate}`)
  return parsed
}

/**
 * Returns why a certificate is not valid at a time, or undefined when it is. The clock may be wrong instead, so this
 * must never prevent a start.
 *
 * @param now milliseconds since 1970
 */
export function whyNotValid(
  { validFromDate, validToDate }: X509Certificate,
  path: string,
  now: number,
): string | undefined {
  if (now > validToDate.getTime()) return `the certificate in ${path} expired on ${validToDate.toISOString()}`
  if (now >= validFromDate.getTime()) return undefined
  return `the certificate in ${path} is not valid before ${validFromDate.toISOString()}`
}

/** @throws Error naming the file */
export function parseCertificate(text: string, path: string): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch {
    throw new ConfigError(`${path} does not contain a valid PEM certificate`)
  }
}

function parseKey(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text)
  } catch {
    const hint = text.includes('ENCRYPTED') ? ' without a password' : ''
    throw new ConfigError(`${path} does not contain a valid PEM key${hint}`)
  }
}
