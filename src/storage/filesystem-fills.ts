import { type FileHandle, open } from 'node:fs/promises'
import { algorithmOf, type Digest, hexOf } from '../oci/digest.ts'
import { blobPlace } from './blob-place.ts'
import type { Upload } from './blob-store.ts'
import type { FilesystemUploads } from './filesystem-uploads.ts'
import type { FillStore, GrowingFile } from './fill-store.ts'
import { UploadFiles } from './upload-files.ts'
import { FILL_SUFFIX } from './upload-ids.ts'

/** The scope of all fills: no repository has this name. */
const SCOPE = ''

/**
 * Partial blobs of upstreams: uploads whose files are `uploads/<hex>@<upstream>.<algorithm>`, which no client can name. In
 * the name of the upstream, each dot is written as `+`, because a second dot marks a temporary file.
 */
export function filesystemFills(data: string, uploads: FilesystemUploads): FillStore {
  const files = new UploadFiles(data)
  return {
    of: (digest, upstream): Upload => ({
      id: `${hexOf(digest)}@${upstream.replaceAll('.', '+')}${FILL_SUFFIX}`,
      scope: SCOPE,
      algorithm: algorithmOf(digest),
    }),
    getSize: (upload) => uploads.getSize(upload),
    append: (upload, body) => uploads.append(upload, body),
    verify: (upload, digest) => uploads.verify(upload, digest),
    commit: (upload, digest, body) => uploads.commit(upload, digest, body),
    cancel: (upload) => uploads.cancel(upload),
    expire: (before, isKept) => uploads.expireFills(before, (name) => isKept(name + FILL_SUFFIX)),
    read: (upload, digest) => openFirst([files.ofUpload(upload).path, blobPlace(data, digest).file], digest),
  }
}

/** Opens the file of a fill. If the fill has just ended, its bytes are in the blob. */
async function openFirst([path = '', ...others]: string[], digest: Digest): Promise<GrowingFile> {
  let file: FileHandle
  try {
    file = await open(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && others.length > 0)
      return await openFirst(others, digest)
    throw error
  }
  return {
    read: async (into, at) => (await file.read(into, 0, into.length, at)).bytesRead,
    close: () => file.close(),
  }
}
