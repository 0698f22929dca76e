/*
 * TLS of the server: with a certificate that cay's own authority issues and renews (`auto`), or with one from files, which
 * is loaded again when it changes. The authority, its key and the certificate are in the folder `tls` of the data folder;
 * the key is written before what it signs. A wrong clock must never prevent a start.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { type FSWatcher, watch } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import { dirname, join } from 'node:path'
import type { Logger } from 'pino'
import { type CertificateFiles, ConfigError, type TlsChoice } from '../config/values.ts'
import type { Authority, Credentials } from '../http/listener.ts'
import { findText, writeDurably } from '../storage/durable-file.ts'
import type { CertificateNames } from './certificate.ts'

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
  const facts = () => {
    const entries = Object.values(networkInterfaces()).flatMap((found) => found ?? [])
    return { hostname: hostname(), addresses: entries.map(({ address }) => address), named }
  }
  return openAutomatic({ ...options, facts })
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
  const names = refused.join(', ')
  log.warn(
    `the certificate does not cover ${names}, because the authority cannot sign for it: ${newAuthority(data)}`,
  )
}

/** Says how to replace an authority. */
function newAuthority(data: string): string {
  return `remove ${tlsFolder(data)}, restart, and trust the new authority (cay trust)`
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
    log.error(
      `clients will refuse this server: ${invalid}; if this host's clock is right, ${newAuthority(data)}`,
    )
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

/** The folder of the authority and the certificate. */
const tlsFolder = (data: string) => join(data, 'tls')

/** Returns the path of the authority's certificate in a data folder. */
export const authorityPath = (data: string) => join(tlsFolder(data), 'rootCA.pem')

/**
 * Returns the authority of a data folder, or undefined when it has none yet.
 *
 * @throws Error when its file is damaged
 */
export async function findAuthority(data: string): Promise<Authority | undefined> {
  const path = authorityPath(data)
  const certificate = await findText(path)
  if (certificate === undefined) return undefined
  return { path, certificate, fingerprint: parseCertificate(certificate, path).fingerprint256 }
}

/**
 * Returns the authority of a data folder with its key, and creates it if it does not exist. The key is written first,
 * so a crash in between leaves only a key that was never used.
 *
 * @param now milliseconds since 1970
 * @throws Error naming the damaged or missing file, and what to do
 */
export async function openAuthority(data: string, facts: HostFacts, now: number): Promise<Credentials> {
  const path = authorityPath(data)
  const keyPath = join(tlsFolder(data), 'rootCA-key.pem')
  const [certificate, key] = await Promise.all([findText(path), findText(keyPath)])
  if (certificate === undefined) {
    const { makeAuthority } = await import('./certificate.ts')
    const made = await makeAuthority(facts.hostname, certificateNames(facts), now)
    await mkdir(tlsFolder(data), { recursive: true, mode: 0o700 })
    await writeDurably(keyPath, made.key, 0o600)
    await writeDurably(path, made.certificate, 0o644)
    return made
  }
  try {
    if (key === undefined) throw new Error(`${keyPath} is missing`)
    checkCredentials({ certificate, key }, { certificate: path, key: keyPath })
    return { certificate, key }
  } catch (error) {
    throw new Error(
      `cay's own authority cannot be used: ${(error as Error).message}; restore ${tlsFolder(data)} from a backup, ` +
        'or remove that folder, restart, and trust the new authority (cay trust)',
    )
  }
}

/**
 * Parses a certificate and checks that the key belongs to it. Throws an Error that names the file of `source` and what is
 * wrong with it.
 */
function checkCredentials({ certificate, key }: Credentials, source: CertificateFiles): X509Certificate {
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
function whyNotValid(
  { validFromDate, validToDate }: X509Certificate,
  path: string,
  now: number,
): string | undefined {
  if (now > validToDate.getTime()) return `the certificate in ${path} expired on ${validToDate.toISOString()}`
  if (now >= validFromDate.getTime()) return undefined
  return `the certificate in ${path} is not valid before ${validFromDate.toISOString()}`
}

/** @throws Error naming the file */
function parseCertificate(text: string, path: string): X509Certificate {
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

export interface HostFacts {
  /** From os.hostname(). */
  hostname: string
  /** The addresses of its interfaces. */
  addresses: string[]
  /** The setting `host`: additional names and addresses, for example of a router that forwards to this host. */
  named: string[]
}

const LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/

/**
 * Returns what a certificate for this host should cover: loopback, the host's own name and addresses, and the setting
 * `host`. Link-local addresses are left out, and so is a host name that is not a valid DNS name.
 *
 * @throws Error when `host` has something that is neither a name nor an address
 */
export function certificateNames({ hostname, addresses, named }: HostFacts): CertificateNames {
  const dns = ['localhost']
  const found = ['127.0.0.1', '::1']
  const own = hostname.toLowerCase()
  if (isHostName(own)) dns.push(own)
  found.push(...addresses.filter((address) => isIP(address) !== 0 && !isLinkLocal(address)))
  for (const name of named.map((text) => text.toLowerCase())) {
    if (isIP(name) !== 0) found.push(name)
    else if (isHostName(name.replace(/^\*\./, ''))) dns.push(name)
    else
      throw new ConfigError(
        `host: ${JSON.stringify(name)} is neither a name nor an address; write it without a port`,
      )
  }
  return { dns: [...new Set(dns)], addresses: [...new Set(found.map(canonicalAddress))] }
}

/** Normalizes an address for comparison, because IPv6 addresses can be written in several ways. */
function canonicalAddress(address: string): string {
  return isIP(address) === 6 ? new URL(`http://[${address}]`).hostname.slice(1, -1) : address
}

/** Reports whether a certificate covers every wanted name and address. */
export function coversNames(there: CertificateNames, wanted: CertificateNames): boolean {
  return (
    wanted.dns.every((name) => there.dns.includes(name)) &&
    wanted.addresses.every((address) => there.addresses.includes(address))
  )
}

function isHostName(text: string): boolean {
  return text.length <= 253 && text.split('.').every((label) => LABEL.test(label))
}

function isLinkLocal(address: string): boolean {
  return /^fe[89ab]/i.test(address) || address.startsWith('169.254.')
}
