import { existsSync } from 'node:fs'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { readParts } from '../oci/manifest-parts.ts'
import { type Document, TransferError } from './source.ts'

/** A larger manifest is refused before it is read. */
export const MANIFEST_BYTES_MAX = 64 * 1024 * 1024

/**
 * Reads a manifest from a file, or returns undefined if there is none. Its digest is checked here, because a manifest that is
 * pushed by its tag has whatever digest its bytes have.
 *
 * @throws TransferError when the bytes have another digest
 */
export async function readManifest(path: string, digest: Digest): Promise<Document | undefined> {
  if (!existsSync(path)) return undefined
  const bytes = await readBounded(path)
  const mediaType = mediaTypeOf(bytes)
  // The digest of a signed manifest of Docker schema 1 is that of its content without the signatures.
  const isSigned = mediaType.endsWith('+prettyjws')
  const algorithm = algorithmOf(digest)
  if (isSigned || new Bun.CryptoHasher(algorithm).update(bytes).digest('hex') === hexOf(digest))
    return { bytes, mediaType }
  throw new TransferError(`the bytes of ${digest} are damaged`)
}

/** Reads a file that is no larger than a manifest can be. */
export async function readBounded(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const file = Bun.file(path)
  if (file.size > MANIFEST_BYTES_MAX) throw new TransferError(`${path} has ${file.size} bytes, too many`)
  return new Uint8Array(await file.bytes())
}

/** Returns the media type of a manifest whose storage does not record it, from its content. */
function mediaTypeOf(bytes: Uint8Array): string {
  const { document, children } = readParts(bytes)
  if (typeof document.mediaType === 'string') return document.mediaType
  if (document.schemaVersion === 1) {
    return `application/vnd.docker.distribution.manifest.v1+${'signatures' in document ? 'prettyjws' : 'json'}`
  }
  const kind = children.length > 0 || 'manifests' in document ? 'index' : 'manifest'
  return `application/vnd.oci.image.${kind}.v1+json`
}
