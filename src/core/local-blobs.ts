import type { Digest } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { freshPushes } from './fresh-pushes.ts'
import type { LocalOptions } from './local-options.ts'
import type { ReadCache } from './read-cache.ts'
import type { Blobs } from './registry.ts'
import { unknownIn } from './unknown.ts'

/** The blobs of this data folder, by the repositories that link them. */
export function localBlobs(options: LocalOptions, cache: ReadCache): Blobs {
  const { metadata, blobs, access, now } = options
  const { keepBlob } = freshPushes(options)
  const unknown = (repository: RepositoryName, digest: Digest) => {
    const error = registryError('BLOB_UNKNOWN', `${repository} has no blob ${digest}`, { detail: { digest } })
    return unknownIn(metadata, repository, error)
  }
  return {
    async getSize(repository, digest, asker) {
      const cached = cache.findSize(repository, digest)
      if (cached !== undefined) return cached
      const found = metadata.blobs.find(repository, digest)
      if (found === undefined) throw unknown(repository, digest)
      const { size, unreferencedAt } = found
      // What may go is not remembered, so that each asker is seen here.
      if (unreferencedAt === null) cache.putSize(repository, digest, size)
      else if (asker && !(await keepBlob(asker, repository, digest, unreferencedAt))) {
        throw unknown(repository, digest)
      }
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
