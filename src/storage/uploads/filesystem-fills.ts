import { type FileHandle, open } from 'node:fs/promises'
import { algorithmOf, type Digest, hexOf } from '../../oci/digest.ts'
import { blobPlace } from '../blob-place.ts'
import type { Upload } from '../blob-store.ts'
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
  /** Deletions in progress, by the ids of the uploads. */
  const deletions = new Map<string, Promise<void>>()
  const remove = (upload: Upload): Promise<void> => {
    const deletion = uploads.cancel(upload).finally(() => {
      if (deletions.get(upload.id) === deletion) deletions.delete(upload.id)
    })
    deletions.set(upload.id, deletion)
    return deletion
  }
  return {
    of: (digest, upstream): Upload => ({
      id: `${hexOf(digest)}@${upstream.replaceAll('.', '+')}${FILL_SUFFIX}`,
      scope: SCOPE,
      algorithm: algorithmOf(digest),
    }),
    async getSize(upload) {
      await deletions.get(upload.id)?.catch(() => {})
      return await uploads.getSize(upload)
    },
    append: (upload, body) => uploads.append(upload, body),
    verify: (upload, digest) => uploads.verify(upload, digest),
    commit: (upload, digest, body) => uploads.commit(upload, digest, body),
    cancel: remove,
    async *list() {
      for await (const { id: name, algorithm, size, changedAt } of files.fills()) {
        yield { upload: { id: name + FILL_SUFFIX, scope: SCOPE, algorithm }, size, changedAt }
      }
    },
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
