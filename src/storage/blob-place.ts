import { join } from 'node:path'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'

/** Returns the path of a blob's file: `blobs/<algorithm>/<2 hex>/<hex>` in the data folder. */
export interface BlobPlace {
  file: string
  folder: string
}

export function blobPlace(data: string, digest: Digest): BlobPlace {
  const hex = hexOf(digest)
  const folder = join(blobsFolder(data), algorithmOf(digest), hex.slice(0, 2))
  return { file: join(folder, hex), folder }
}

export function blobsFolder(data: string): string {
  return join(data, 'blobs')
}
