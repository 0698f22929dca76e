import type { Caller } from '../../src/access/access.ts'
import { openMetadata } from '../../src/app/metadata.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseManifest } from '../../src/oci/manifest.ts'
import { type Digest, parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import type { Named } from './content.ts'

/** The time of all these writes. */
export const AT = 1_700_000_000_000

export const CALLER: Caller = {
  account: 'alice',
  credential: 'token-7',
  address: '192.0.2.7',
  requestId: 'r-1',
}

/** Opens a database; fails the test if its thread dies. */
export function open(folder: string): Promise<Metadata> {
  return openMetadata(folder, (error) => {
    throw error
  })
}

/** Runs a function with the database of a folder that no server uses. */
export async function withMetadata<T>(
  folder: string,
  act: (metadata: Metadata) => T | Promise<T>,
): Promise<T> {
  const metadata = await open(folder)
  try {
    return await act(metadata)
  } finally {
    await metadata.close()
  }
}

/** Returns the call that links a blob, as a push does. */
export function link(repository: string, { digest, bytes }: Named, caller = CALLER) {
  const change = { caller, at: AT, repository: parseRepositoryName(repository), digest: parseDigest(digest) }
  return ['linkBlob', { ...change, size: bytes.length }] as const
}

/** Returns the call that stores a manifest under tags. */
export function put(repository: string, manifest: Named, tags: string[], caller = CALLER) {
  const digest = parseDigest(manifest.digest)
  const call = {
    caller,
    at: AT,
    repository: parseRepositoryName(repository),
    digest,
    sha256: digest,
    tags: tags.map(parseTag),
    manifest: parseManifest(manifest.bytes, undefined),
    bytes: Uint8Array.from(manifest.bytes),
    optionalRoles: [],
  }
  return ['putManifest', call] as const
}

/** Returns the call that deletes a reference. */
export function remove(repository: string, reference: { digest: Digest } | { tag: string }, caller = CALLER) {
  const named = 'tag' in reference ? { tag: parseTag(reference.tag) } : reference
  const call = { caller, at: AT, repository: parseRepositoryName(repository), reference: named }
  return ['deleteManifest', call] as const
}
