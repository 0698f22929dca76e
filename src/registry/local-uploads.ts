import type { Caller } from '../metadata/caller.ts'
import type { Digest } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Upload, UploadBody } from '../storage/blob-store.ts'
import type { LocalOptions } from './local-registry.ts'
import type { Uploads } from './registry.ts'

/** The uploads of this data folder: a row each, and a file that holds what came. */
export function localUploads({ metadata, uploads, now }: LocalOptions): Uploads {
  const get = (repository: RepositoryName, id: string): Upload => {
    const row = metadata.uploads.find(id)
    if (row?.repository === repository) return { id, algorithm: row.algorithm }
    throw registryError(
      'BLOB_UPLOAD_UNKNOWN',
      `${repository} has no upload ${JSON.stringify(id)}: start a new one`,
    )
  }
  const publish = async (
    caller: Caller,
    repository: RepositoryName,
    upload: Upload,
    digest: Digest,
    body: UploadBody,
  ) => {
    const { size } = await uploads.commit(upload, digest, body)
    await metadata.write('linkBlob', { caller, at: now(), repository, digest, size, uploadId: upload.id })
    // The client need not wait for this; what a crash leaves of it goes at the next start.
    uploads.cancel(upload).catch(() => {})
  }
  return {
    async start(caller, repository, algorithm) {
      const upload = uploads.start(algorithm)
      const { account = null } = caller
      await metadata.write('startUpload', { ...upload, repository, startedAt: now(), account })
      return { id: upload.id, size: 0 }
    },

    async get(repository, id) {
      const { size } = await uploads.stat(get(repository, id))
      return { id, size }
    },

    async append(repository, id, body) {
      return { id, size: await uploads.append(get(repository, id), body) }
    },

    async commit(caller, repository, id, digest, body) {
      await publish(caller, repository, get(repository, id), digest, body)
    },

    async put(caller, repository, digest, body) {
      const upload = uploads.start(digest.startsWith('sha512:') ? 'sha512' : 'sha256')
      try {
        await publish(caller, repository, upload, digest, body)
      } catch (error) {
        await uploads.cancel(upload).catch(() => {})
        throw error
      }
    },

    async cancel(repository, id) {
      await uploads.cancel(get(repository, id))
      await metadata.write('endUpload', { id })
    },
  }
}
