import type { X509Certificate } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { hostname, networkInterfaces } from 'node:os'
import { dirname, join } from 'node:path'
import type { Logger } from 'pino'
import { type CertificateFiles, ConfigError, type TlsChoice } from '../config/values.ts'
import type { Authority, Credentials } from '../http/listener.ts'
import { findText, writeDurably } from '../storage/durable-file.ts'
import {
  authorityPath,
  checkCredentials,
  findAuthority,
  openAuthority,
  parseCertificate,
  tlsFolder,
  whyNotValid,
} from './authority.ts'
import {
  type CertificateNames,
  canonicalAddress,
  certificateNames,
  coversNames,
  type HostFacts,
} from './certificate-names.ts'

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

/**
 * Tools replace a certificate and its key in several steps. The files are read once nothing has changed for this long.
 */
const SETTLE_MILLISECONDS = 500

/**
 * Opens TLS with a certificate from files. They are read again when their folders change, because certbot and
 * Kubernetes replace symbolic links there. A certificate that cannot be used is logged, and the current one stays in
 * use.
 *
 * @throws Error naming the setting and the bad file
 */
async function openCertificateFiles(options: TlsOptions & { files: CertificateFiles }): Promise<Tls> {
  const { files, log, now, onChange } = options
  let credentials = await read()
  const invalid = whyNotValid(checkCredentials(credentials, named(files)), files.certificate, now())
  if (invalid !== undefined)
    log.error(`tls: clients will refuse this server, unless this host's clock is wrong: ${invalid}`)
  let refused = ''
  let timer: Timer | undefined
  const soon = () => {
    clearTimeout(timer)
    timer = setTimeout(check, SETTLE_MILLISECONDS)
  }
  const watchers = [...new Set([files.certificate, files.key].map((path) => dirname(path)))].flatMap(start)
  return {
    credentials: () => credentials,
    authority: undefined,
    check,
    close() {
      clearTimeout(timer)
      for (const watcher of watchers) watcher.close()
    },
  }

  async function check(): Promise<void> {
    try {
      const found = await read()
      if (found.certificate === credentials.certificate && found.key === credentials.key) return
      const invalid = whyNotValid(checkCredentials(found, named(files)), files.certificate, now())
      if (invalid !== undefined) throw new Error(invalid)
      credentials = found
      refused = ''
      log.info({ path: files.certificate }, 'reloaded the certificate')
      onChange(found)
    } catch (error) {
      const { message } = error as Error
      if (message !== refused)
        log.error({ error: message }, 'cannot use the new certificate: keeping the previous one')
      refused = message
    }
  }

  async function read(): Promise<Credentials> {
    const [certificate, key] = await Promise.all([readNamed(files.certificate), readNamed(files.key)])
    return { certificate, key }
  }

  /** Watches the folders. One that cannot be watched is only examined by `check`. */
  function start(folder: string): FSWatcher[] {
    try {
      const watcher = watch(folder, { persistent: false }, soon)
      watcher.on('error', (cause) => log.warn({ folder, cause }, 'cannot watch the folder'))
      return [watcher]
    } catch (cause) {
      log.warn({ folder, cause }, 'cannot watch the folder')
      return []
    }
  }
}

function named({ certificate, key }: CertificateFiles): CertificateFiles {
  return { certificate: `tls: ${certificate}`, key: `tls: ${key}` }
}

async function readNamed(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    throw new ConfigError(`tls: cannot read ${path}: ${(error as Error).message}`)
  }
}

/** The certificate that a server presents. */
interface Tls {
  /** Returns what new connections get now. */
  credentials(): Credentials
  /** Cay's own authority, if it issued the certificate. */
  authority: Authority | undefined
  /** Checks whether the certificate must be renewed or has changed, and calls `onChange` if so. */
  check(): Promise<void>
  close(): void
}

interface TlsOptions {
  /** The data folder. */
  data: string
  log: Logger
  /** Milliseconds since 1970. */
  now: () => number
  /** Called with what new connections get from now on. */
  onChange: (credentials: Credentials) => void
}
