import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Authority } from '../domain/server-certificate.ts'
import { findText, writeDurably } from '../storage/durable-file.ts'
import type { IssuedCertificate } from './certificate.ts'
import { certificateNames, type HostFacts } from './certificate-names.ts'
import { checkCredentials, parseCertificate } from './key-pair.ts'

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
