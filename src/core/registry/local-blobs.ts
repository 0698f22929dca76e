import type { Blobs } from '../../domain/registry.ts'
import type { Digest } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { ByteRange } from '../../oci/range.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { unknownIn } from '../unknown.ts'
import { freshPushes } from './fresh-pushes.ts'
import type { LocalOptions } from './local-options.ts'
import type { ReadCache } from './read-cache.ts'
import type { SmallBlobs } from './small-blobs.ts'

/** The blobs of this data folder, by the repositories that link them. */
export function localBlobs(options: LocalOptions, cache: ReadCache, small: SmallBlobs): Blobs {
  const { metadata, blobs, access, now, damaged, activity } = options
  const { keepBlob } = freshPushes(options)
  const unknown = (repository: RepositoryName, digest: Digest) => {
    const error = registryError('BLOB_UNKNOWN', `${repository} has no blob ${digest}`, { detail: { digest } })
    return unknownIn(metadata, repository, error)
  }
  const find = (repository: RepositoryName, digest: Digest) => {
    const cached = cache.findSize(repository, digest)
    if (cached !== undefined) return { size: cached, unreferencedAt: null }
    const found = metadata.blobs.find(repository, digest)
    if (found === undefined) throw unknown(repository, digest)
    // The size of an unreferenced blob is not cached, so that each caller who may push renews its grace period.
    if (found.unreferencedAt === null) cache.putSize(repository, digest, found.size)
    return found
  }
  return {
    async getSize(repository, digest, principal) {
      const isPusher = principal !== undefined && access.may(principal, 'push', repository)
      if (isPusher) activity.note(repository)
      const { size, unreferencedAt } = find(repository, digest)
      if (await damaged.has(digest, size)) throw unknown(repository, digest)
      if (!isPusher) return size
      // A client that gets "not found" pushes the blob again, which replaces lost bytes.
      const here = small.has({ digest, size })
      // A small blob in memory needs no await. Clients ask for every blob of an image.
      const isKept =
        (here === true || (await here)) &&
        (unreferencedAt === null || (await keepBlob(repository, digest, unreferencedAt)))
      if (isKept) return size
      throw unknown(repository, digest)
    },

    async open(repository, digest) {
      const { size } = find(repository, digest)
      if (await damaged.has(digest, size)) throw unknown(repository, digest)
      if (!small.isSmall(size)) return { size, read: (range) => blobs.open({ digest, size }, range) }
      const read = async ({ start, end }: ByteRange) => {
        const bytes = await small.read({ digest, size })
        return { bytes: bytes.subarray(start, end) }
      }
      return { size, read }
    },

    async mount(caller, identity, { repository, digest, from }) {
      // Checks grants, not the token's scope: without "from", no client can request a scope for the source.
      const source = from ?? metadata.blobs.findSource(digest, access.pullable(identity))
      if (source === undefined || !access.may(identity, 'pull', source)) return false
      const found = metadata.blobs.find(source, digest)
      if (found === undefined || (await damaged.has(digest, found.size))) return false
      if (!(await small.has({ digest, size: found.size }))) return false
      activity.note(repository)
      const size = await metadata.write('mountBlob', { caller, at: now(), repository, digest, from: source })
      return size !== undefined
    },

    async delete(caller, repository, digest) {
      await metadata.write('unlinkBlob', { caller, at: now(), repository, digest })
    },
  }
}
