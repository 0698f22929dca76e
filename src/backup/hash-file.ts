import type { DigestAlgorithm } from '../oci/digest.ts'

/** Hashes a file in pieces, and returns the hash in hex. Rejects if the file cannot be read. */
export async function hashFile(path: string, algorithm: DigestAlgorithm): Promise<string> {
  const hash = new Bun.CryptoHasher(algorithm)
  for await (const chunk of Bun.file(path).stream()) hash.update(chunk)
  return hash.digest('hex')
}
