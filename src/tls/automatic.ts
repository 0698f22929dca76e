import type { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Credentials } from '../domain/server-certificate.ts'
import { findText, writeDurably } from '../storage/durable-file.ts'
import { authorityPath, findAuthority, openAuthority, tlsFolder } from './authority.ts'
import {
  type CertificateNames,
  canonicalAddress,
  certificateNames,
  coversNames,
  type HostFacts,
} from './certificate-names.ts'
import { checkCredentials, parseCertificate, whyNotValid } from './key-pair.ts'
import type { Tls, TlsOptions } from './served-certificate.ts'

const DAY = 86_400_000

/** A certificate is renewed when it expires within this many days. */
const RENEW_DAYS = 120

/** An authority that expires within this many days is worth a warning: every host must trust its successor. */
const AUTHORITY_WARNING_DAYS = 180

/**
 * Opens TLS with a certificate from cay's own authority. It is created at the first start, and renewed well before it
 * expires or when this host gets a name or an address that it lacks. A name that the host loses stays until the next
 * renewal, because interfaces come and go.
 *
 * @throws Error when the authority is damaged, or `host` has something that is neither a name nor an address
 */
export async function openAutomatic(options: TlsOptions & { facts: () => HostFacts }): Promise<Tls> {
  const { data, now, log, facts, onChange } = options
  const path = join(tlsFolder(data), 'server.pem')
  const authority = await openAuthority(data, facts(), now())
  const issuer = parseCertificate(authority.certificate, authorityPath(data))
  warnOfEnd(log, issuer, data, now())
  let credentials = await ensure()
  return {
    credentials: () => credentials,
    authority: await findAuthority(data),
    async check() {
      const newer = await ensure()
      if (newer.certificate === credentials.certificate) return
      credentials = newer
      onChange(newer)
    },
    close() {},
  }

  async function ensure(): Promise<Credentials> {
    const wanted = certificateNames(facts())
    const present = await findText(path)
    const reason =
      present === undefined ? 'no certificate yet' : whyRenew(split(present), path, issuer, wanted, now())
    if (present !== undefined && reason === undefined) return split(present)
    const { issueCertificate, permittedNames } = await import('./certificate.ts')
    const { permitted, refused } = permittedNames(authority.certificate, wanted)
    warnOfRefused(log, refused, data)
    if (present !== undefined && whyRenew(split(present), path, issuer, permitted, now()) === undefined) {
      return split(present)
    }
    const issued = await issueCertificate(authority, permitted, now())
    await writeDurably(path, issued.certificate + issued.key, 0o600)
    log.info({ path, reason, names: [...permitted.dns, ...permitted.addresses] }, 'issued a certificate')
    return issued
  }
}

/** Warns about names that the authority cannot sign for, because the host did not have them when it was created. */
function warnOfRefused(log: Logger, refused: string[], data: string): void {
  if (refused.length === 0) return
  const remedy = `remove ${tlsFolder(data)}, restart, and trust the new authority (cay trust)`
  log.warn(
    `the certificate does not cover ${refused.join(', ')}, because the authority cannot sign for it: ${remedy}`,
  )
}

/** Returns why the certificate in the file must be replaced, or undefined if it need not be. */
function whyRenew(
  present: Credentials,
  path: string,
  issuer: X509Certificate,
  wanted: CertificateNames,
  now: number,
): string | undefined {
  try {
    const certificate = checkCredentials(present, { certificate: path, key: path })
    const invalid = whyNotValid(certificate, path, now)
    if (invalid !== undefined) return invalid
    if (!certificate.verify(issuer.publicKey)) return 'it was issued by another authority'
    const endsSoon = certificate.validToDate.getTime() - now < RENEW_DAYS * DAY
    if (endsSoon && certificate.validToDate < issuer.validToDate) return 'it expires soon'
    return coversNames(namesOf(certificate), wanted) ? undefined : 'this host has new names'
  } catch (error) {
    return (error as Error).message
  }
}

function warnOfEnd(log: Logger, authority: X509Certificate, data: string, now: number): void {
  const invalid = whyNotValid(authority, authorityPath(data), now)
  if (invalid !== undefined) {
    const remedy = `remove ${tlsFolder(data)}, restart, and trust the new authority (cay trust)`
    log.error(`clients will refuse this server: ${invalid}; if this host's clock is right, ${remedy}`)
    return
  }
  if (authority.validToDate.getTime() - now > AUTHORITY_WARNING_DAYS * DAY) return
  const remedy = 'remove the folder tls, restart, and trust the new authority (cay trust)'
  log.warn({ ends: authority.validTo }, `the authority expires soon: ${remedy}`)
}

function namesOf({ subjectAltName }: X509Certificate): CertificateNames {
  const all = (subjectAltName ?? '').split(', ')
  const after = (prefix: string) =>
    all.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length))
  return { dns: after('DNS:'), addresses: after('IP Address:').map(canonicalAddress) }
}

/** Splits a file into the certificate and its key, which are in one file so that they change together. */
function split(text: string): Credentials {
  const at = text.indexOf('-----BEGIN PRIVATE KEY-----')
  return at < 0 ? { certificate: text, key: '' } : { certificate: text.slice(0, at), key: text.slice(at) }
}
