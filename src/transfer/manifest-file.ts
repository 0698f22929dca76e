import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { readParts } from '../oci/manifest-parts.ts'
import { type Document, TransferError } from './source.ts'

/** The largest manifest, in bytes. A larger one is refused before it is read. */
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
  if (isSigned || digestOf(bytes, algorithmOf(digest)) === digest) return { bytes, mediaType }
  throw new TransferError(`the bytes of ${digest} are damaged`)
}

/**
 * Reads an ordinary file that is no larger than a manifest can be.
 * @throws TransferError when it is larger, or a device, for example
 */
export async function readBounded(
  path: string,
  bytesMax = MANIFEST_BYTES_MAX,
): Promise<Uint8Array<ArrayBuffer>> {
  const found = await stat(path)
  if (!found.isFile()) throw new TransferError(`${path} is not a file`)
  if (found.size > bytesMax) throw new TransferError(`${path} has ${found.size} bytes, too many`)
  return new Uint8Array(await Bun.file(path).slice(0, bytesMax).bytes())
}

/** Reads a text as `readBounded` does. */
export async function readText(path: string, bytesMax?: number): Promise<string> {
  return new TextDecoder().decode(await readBounded(path, bytesMax))
}

/** Parses the JSON of a file. Throws a TransferError when it is something else. */
export async function readJson(path: string): Promise<unknown> {
  try {
    return JSON.parse(await readText(path))
  } catch (cause) {
    if (cause instanceof TransferError) throw cause
    throw new TransferError(`${path} is not JSON: ${(cause as Error).message}`, { cause })
  }
}

/** Opens the file of a blob. Returns undefined if there is none, or something else than a file. */
export async function openBlob(path: string): Promise<ReadableStream<Uint8Array> | undefined> {
  const found = await stat(path).catch(() => undefined)
  return found?.isFile() ? Bun.file(path).stream() : undefined
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
