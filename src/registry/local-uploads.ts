import type { Caller } from '../metadata/caller.ts'
import type { Digest } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { OffsetError, type Upload } from '../storage/blob-store.ts'
import type { LocalOptions } from './local-registry.ts'
import type { UploadBody, Uploads } from './registry.ts'

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
  const append = async (upload: Upload, { stream, offset }: UploadBody): Promise<number> => {
    if (stream !== null) return await uploads.append(upload, stream, offset)
    const { size } = await uploads.stat(upload)
    if (offset !== undefined && offset !== size) throw new OffsetError(size, offset)
    return size
  }
  const publish = async (caller: Caller, repository: RepositoryName, upload: Upload, digest: Digest) => {
    const { size } = await uploads.commit(upload, digest)
    await metadata.write('linkBlob', { caller, at: now(), repository, digest, size, uploadId: upload.id })
    await uploads.cancel(upload).catch(() => {})
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
      return { id, size: await append(get(repository, id), body) }
    },

    async commit(caller, repository, id, digest, body) {
      const upload = get(repository, id)
      if (body.stream !== null || body.offset !== undefined) await append(upload, body)
      await publish(caller, repository, upload, digest)
    },

    async put(caller, repository, digest, body) {
      const upload = uploads.start(digest.startsWith('sha512:') ? 'sha512' : 'sha256')
      try {
        await append(upload, body)
        await publish(caller, repository, upload, digest)
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
