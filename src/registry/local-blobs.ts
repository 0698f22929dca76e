import { registryError } from '../oci/error.ts'
import type { LocalOptions } from './local-options.ts'
import type { ReadCache } from './read-cache.ts'
import type { Blobs } from './registry.ts'
import { unknownIn } from './unknown.ts'

/** The blobs of this data folder, by the repositories that link them. */
export function localBlobs({ metadata, blobs, access, now }: LocalOptions, cache: ReadCache): Blobs {
  return {
    async getSize(repository, digest) {
      const cached = cache.findSize(repository, digest)
      if (cached !== undefined) return cached
      const size = metadata.blobs.findSize(repository, digest)
      if (size === undefined) {
        const unknown = registryError('BLOB_UNKNOWN', `${repository} has no blob ${digest}`, {
          detail: { digest },
        })
        throw unknownIn(metadata, repository, unknown)
      }
      cache.putSize(repository, digest, size)
      return size
    },

    open: (digest, range) => blobs.open(digest, range),

    async mount(caller, identity, { repository, digest, from }) {
      // By what the account may, not by what its token was asked for: without "from" no client can ask for the source.
      const source = from ?? metadata.blobs.findSource(digest, access.pullable(identity))
      if (source === undefined || !access.may(identity, 'pull', source)) return false
      const size = await metadata.write('mountBlob', { caller, at: now(), repository, digest, from: source })
      return size !== undefined
    },

    async delete(caller, repository, digest) {
      await metadata.write('unlinkBlob', { caller, at: now(), repository, digest })
    },
  }
}
