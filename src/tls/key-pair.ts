import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import type { Credentials } from '../domain/server-certificate.ts'

/** Where a certificate and its key come from, in the words of the person who wrote the setting. */
export interface CredentialsSource {
  certificate: string
  key: string
}

/**
 * The certificate, when it and the key belong together.
 *
 * @param source named in errors
 * @throws Error that names the file and what is wrong with it
 */
export function checkCredentials(
  { certificate, key }: Credentials,
  source: CredentialsSource,
): X509Certificate {
  const parsed = parseCertificate(certificate, source.certificate)
  if (!parsed.checkPrivateKey(parseKey(key, source.key)))
    throw new Error(`${source.key} is not the key of the certificate in ${source.certificate}`)
  return parsed
}

/**
 * Says why a certificate is not valid at a time; undefined when it is. The clock may be what is wrong, so this is never
 * a reason not to start.
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
  return `the certificate in ${path} is valid from ${validFromDate.toISOString()} on, which this host's clock has not reached`
}

/** @throws Error that names the file */
export function parseCertificate(text: string, path: string): X509Certificate {
  try {
    return new X509Certificate(text)
  } catch {
    throw new Error(`${path} has no whole PEM certificate`)
  }
}

function parseKey(text: string, path: string): KeyObject {
  try {
    return createPrivateKey(text)
  } catch {
    const hint = text.includes('ENCRYPTED') ? ' without a password' : ''
    throw new Error(`${path} has no whole PEM key${hint}`)
  }
}
