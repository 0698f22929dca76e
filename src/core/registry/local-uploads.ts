import type { Caller } from '../../domain/access/caller.ts'
import type { UploadBody } from '../../domain/blob-body.ts'
import type { Uploads } from '../../domain/registry.ts'
import { algorithmOf, type Digest } from '../../oci/digest.ts'
import { RegistryError, registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { Upload } from '../../storage/blob-store.ts'
import { uuidOf } from '../../storage/uploads/upload-ids.ts'
import type { LocalOptions } from './local-options.ts'
import type { SmallBlobs } from './small-blobs.ts'

/** A quota is full (403), or the name has become that of an upstream (405). */
const REFUSED = [403, 405]

/** The uploads of this data folder. */
export function localUploads(options: LocalOptions, small: SmallBlobs): Uploads {
  const { uploads, room, activity } = options
  const { receive, publish } = blobPublisher(options, small)
  const get = async (repository: RepositoryName, id: string): Promise<Upload> => {
    const upload = await uploads.find(repository, id)
    if (upload !== undefined) return upload
    throw registryError(
      'BLOB_UPLOAD_UNKNOWN',
      `${repository} has no upload ${JSON.stringify(id)}: start a new one`,
    )
  }
  return {
    async start(repository, algorithm) {
      activity.note(repository)
      return { id: uploads.start(repository, algorithm).id, size: 0 }
    },

    async get(repository, id) {
      return { id, size: await uploads.getSize(await get(repository, id)) }
    },

    async append(repository, id, body) {
      const upload = await get(repository, id)
      const size = await receive(repository, upload, body, () => uploads.append(upload, body))
      room.settle(uuidOf(id), size)
      return { id, size }
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

/** Receives the bodies of uploads and publishes them as blobs. */
function blobPublisher(
  { metadata, blobs, uploads, locks, damaged, room, activity, now }: LocalOptions,
  small: SmallBlobs,
) {
  /** Receives a body. Throws DENIED when it exceeds a quota. */
  const receive = async <T>(
    repository: RepositoryName,
    upload: Upload,
    body: UploadBody,
    work: () => Promise<T>,
  ): Promise<T> => {
    try {
      room.reserve(repository, uuidOf(upload.id), body)
    } catch (error) {
      // Otherwise the connection would wait until the body is read.
      body.stream?.cancel().catch(() => {})
      throw await room.explain(error)
    }
    try {
      return await work()
    } catch (error) {
      room.settle(uuidOf(upload.id), await uploads.getSize(upload).catch(() => 0))
      throw await room.explain(error)
    }
  }
  /** Removes the bytes of a blob whose link was refused, unless another repository has it. */
  const removeRefused = (digest: Digest) =>
    locks.remove(digest, async () => {
      if (!metadata.blobs.isStored(digest)) await blobs.delete(digest)
    })
  const publish = async (
    caller: Caller,
    repository: RepositoryName,
    upload: Upload,
    digest: Digest,
    body: UploadBody,
  ) => {
    const work = async () => {
      const { size, bytes } = await receive(repository, upload, body, () =>
        uploads.commit(upload, digest, body),
      )
      // From now on the quota counts the linked blob.
      room.release(uuidOf(upload.id))
      activity.note(repository)
      await metadata.write('linkBlob', { caller, at: now(), repository, digest, size, bytes })
      if (bytes) small.remember(repository, digest, bytes)
      await damaged.heal(digest)
      return size
    }
    let published: number
    try {
      published = await locks.push(digest, work)
    } catch (error) {
      if (error instanceof RegistryError && REFUSED.includes(error.status)) await removeRefused(digest)
      throw error
    }
    // The client need not wait for this. The next start deletes what a crash leaves behind.
    uploads.cancel(upload).catch(() => {})
    return published
  }
  return { receive, publish }
}
