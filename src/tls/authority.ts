import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Authority } from '../domain/server-certificate.ts'
import { findText, writeDurably } from '../storage/durable-file.ts'
import type { IssuedCertificate } from './certificate.ts'
import { certificateNames, type HostFacts } from './certificate-names.ts'
import { checkCredentials, parseCertificate } from './key-pair.ts'

/** The authority's certificate in a data folder. */
export function authorityPath(data: string): string {
  return join(tlsFolder(data), 'rootCA.pem')
}

/** Where the authority and the certificate of a data folder are. */
export function tlsFolder(data: string): string {
  return join(data, 'tls')
}

/**
 * The authority of a data folder, or undefined when it has none yet.
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
 * The authority of a data folder with its key. It is made when it is not there: first its key, then its certificate,
 * so that what a crash leaves between was never shown to anyone.
 *
 * @param now milliseconds since 1970
 * @throws Error that names the file that is damaged or missing, and what to do
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
        'or remove that folder, and trust the new authority that the next start makes (cay trust)',
    )
  }
}
