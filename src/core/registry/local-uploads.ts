import type { UploadBody } from '../../domain/blob-body.ts'
import type { Caller } from '../../domain/caller.ts'
import type { Uploads } from '../../domain/registry.ts'
import { algorithmOf, type Digest } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Upload } from '../../storage/blob-store.ts'
import type { LocalOptions } from './local-options.ts'
import type { SmallBlobs } from './small-blobs.ts'

/** The uploads of this data folder. */
export function localUploads({ metadata, uploads, locks, now }: LocalOptions, small: SmallBlobs): Uploads {
  const get = async (repository: RepositoryName, id: string): Promise<Upload> => {
    const upload = await uploads.find(repository, id)
    if (upload !== undefined) return upload
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
    const published = await locks.push(digest, async () => {
      const { size, bytes } = await uploads.commit(upload, digest, body)
      await metadata.write('linkBlob', { caller, at: now(), repository, digest, size, bytes })
      if (bytes) small.remember(repository, digest, bytes)
      return size
    })
    // The client need not wait for this; what a crash leaves of it goes at the next start.
    uploads.cancel(upload).catch(() => {})
    return published
  }
  return {
    async start(repository, algorithm) {
      return { id: uploads.start(repository, algorithm).id, size: 0 }
    },

    async get(repository, id) {
      return { id, size: await uploads.getSize(await get(repository, id)) }
    },

    async append(repository, id, body) {
      return { id, size: await uploads.append(await get(repository, id), body) }
    },

    async commit(caller, repository, id, digest, body) {
      return await publish(caller, repository, await get(repository, id), digest, body)
    },

    async put(caller, repository, digest, body) {
      const upload = uploads.start(repository, algorithmOf(digest))
      try {
        return await publish(caller, repository, upload, digest, body)
      } catch (error) {
        await uploads.cancel(upload).catch(() => {})
        throw error
      }
    },

    async cancel(repository, id) {
      await uploads.cancel(await get(repository, id))
    },
  }
}
