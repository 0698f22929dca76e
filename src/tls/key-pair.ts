import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import type { Credentials } from '../domain/server-certificate.ts'

/** Where a certificate and its key come from, in the words of the person who wrote the setting. */
export interface CredentialsSource {
  certificate: string
  key: string
}

/**
 * The certificate, when it and the key belong together and it holds now.
 *
 * @param source named in errors
 * @param now milliseconds since 1970
 * @throws Error that names the file and what is wrong with it
 */
export function checkCredentials(
  { certificate, key }: Credentials,
  source: CredentialsSource,
  now: number,
): X509Certificate {
  const parsed = parseCertificate(certificate, source.certificate)
  if (!parsed.checkPrivateKey(parseKey(key, source.key)))
    throw new Error(`${source.key} is not the key of the certificate in ${source.certificate}`)
  if (now > parsed.validToDate.getTime())
    throw new Error(`the certificate in ${source.certificate} ended on ${parsed.validToDate.toISOString()}`)
  if (now < parsed.validFromDate.getTime())
    throw new Error(
      `the certificate in ${source.certificate} begins on ${parsed.validFromDate.toISOString()}: is this host's clock right?`,
    )
  return parsed
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
