import { algorithmOf, type Digest, type DigestAlgorithm, hexOf } from '../oci/digest.ts'
import { sizeOf } from './durable-copy.ts'

/** Hashes a file in pieces, and returns the hash in hex. Rejects if the file cannot be read. */
export async function hashFile(path: string, algorithm: DigestAlgorithm): Promise<string> {
  const hash = new Bun.CryptoHasher(algorithm)
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return hash.digest('hex')
}

/** The error codes of a disk that cannot read a file. */
const UNREADABLE = new Set(['EIO', 'EISDIR'])

/** Reports whether a file has the size and the digest. A file that the disk cannot read does not. */
export async function isIntact(path: string, digest: Digest, size: number): Promise<boolean> {
  if ((await sizeOf(path)) !== size) return false
  try {
    return (await hashFile(path, algorithmOf(digest))) === hexOf(digest)
  } catch (error) {
    if (UNREADABLE.has((error as NodeJS.ErrnoException).code ?? '')) return false
    throw error
  }
}
