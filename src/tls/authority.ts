import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { ConfigError } from '../config/values.ts'
import type { Authority, Credentials } from '../http/listener.ts'
import { findText, writeDurably } from '../storage/durable-file.ts'
import type { IssuedCertificate } from './certificate.ts'
import { certificateNames, type HostFacts } from './certificate-names.ts'

/** Returns the path of the authority's certificate in a data folder. */
export function authorityPath(data: string): string {
  return join(tlsFolder(data), 'rootCA.pem')
}

/** Returns the folder of the authority and the certificate. */
export function tlsFolder(data: string): string {
  return join(data, 'tls')
}

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
export async function openAuthority(data: string, facts: HostFacts, now: number): Promise<IssuedCertificate> {
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
