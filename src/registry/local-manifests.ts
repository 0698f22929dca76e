import { algorithmOf, type Digest, digestOf } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import { expiresAfterSeconds, searchableLabels } from '../oci/image-config.ts'
import type { ManifestReference } from '../oci/manifest.ts'
import { formatReference, type Reference, type RepositoryName } from '../oci/reference.ts'
import type { LabelReader } from './labels.ts'
import {
  type CachedManifest,
  freshPushes,
  type LocalOptions,
  type ReadCache,
  type Sparse,
} from './local-parts.ts'
import { type BeforeLarge, type Manifests, unknownIn } from './registry.ts'

/** A larger manifest waits before it is read. */
const LARGE_BYTES = 256 * 1024

const OPTIONAL_ROLES: Record<Sparse, ManifestReference['role'][]> = {
  none: ['foreign'],
  index: ['foreign', 'child'],
  all: ['foreign', 'child', 'config', 'layer', 'blob'],
}

/** The manifests of this data folder. */
export function localManifests(options: LocalOptions, cache: ReadCache, readLabels: LabelReader): Manifests {
  const { metadata, access, activity, now, checkAllowed, schema1, reader, largePushes } = options
  const optionalRoles = OPTIONAL_ROLES[options.sparse]
  const { keepManifest, expiryOf } = freshPushes(options)
  const read = manifestReader(options, cache, expiryOf)
  return {
    async get(repository, reference, principal, beforeLarge) {
      if (principal && access.may(principal, 'push', repository)) activity.note(repository)
      const found = await read(repository, reference, beforeLarge)
      const { expiry } = found
      if (expiry && principal && !(await keepManifest(principal, repository, expiry)))
        throw unknownManifestIn(metadata, repository, reference)
      return found
    },

    async put(caller, push) {
      const { repository, reference, tags, bytes, precondition } = push
      activity.note(repository)
      largePushes.check(caller.account, bytes.length)
      const { manifest: parsed, payload } = await reader.readPushed(push, schema1)
      checkAllowed(repository, parsed)
      const { annotations: _, ...manifest } = parsed
      const sha256 = digestOf(payload)
      const size = bytes.length
      const digest = reference.digest ?? sha256
      verifyDigest(digest, sha256, payload)
      const tagged = reference.tag === undefined ? tags : [reference.tag]
      const labels = await readLabels(repository, parsed, bytes)
      const put = {
        caller,
        repository,
        digest,
        sha256,
        manifest,
        bytes,
        optionalRoles,
        precondition,
        tags: tagged,
        expiresAfterSeconds: tagged.length === 0 ? undefined : expiresAfterSeconds(labels),
        labels: searchableLabels(labels),
      }
      const write = () => metadata.write('putManifest', { ...put, at: now() }, [bytes.buffer])
      await largePushes.write(caller.account, manifest.references.length, write)
      return { digest, size, subject: manifest.subject }
    },

    async delete(caller, repository, reference, precondition) {
      const { size = 0 } = (reference.digest && metadata.manifests.find(repository, reference, now())) || {}
      const call = { caller, repository, reference, precondition }
      const write = () => metadata.write('deleteManifest', { ...call, at: now() })
      await largePushes.change(caller.account, size, write)
    },
  }
}

/** Returns a function that reads manifests from the cache or the database. */
function manifestReader(
  { metadata, now }: LocalOptions,
  cache: ReadCache,
  expiryOf: ReturnType<typeof freshPushes>['expiryOf'],
) {
  return async (
    repository: RepositoryName,
    reference: Reference,
    beforeLarge: BeforeLarge | undefined,
  ): Promise<CachedManifest> => {
    const name = formatReference(reference)
    const cached = cache.findManifest(repository, name)
    if (cached && (cached.expiresAt === undefined || cached.expiresAt > now())) {
      if (beforeLarge && cached.bytes.length >= LARGE_BYTES) await beforeLarge(cached.bytes.length)
      return cached
    }
    let row = metadata.manifests.find(repository, reference, now())
    if (beforeLarge && row && row.size >= LARGE_BYTES) {
      await beforeLarge(row.size)
      // The tag may have moved meanwhile, and the cache was cleared then.
      row = metadata.manifests.find(repository, reference, now())
    }
    if (row === undefined) throw unknownManifestIn(metadata, repository, reference)
    const { digest, mediaType } = row
    const expiresAt = row.expiresAt ?? undefined
    const bytes = metadata.manifests.findBytes(row.storedAs)
    // The bytes were damaged. Pushing the manifest again restores them.
    if (bytes === undefined) throw unknownManifestIn(metadata, repository, reference)
    const found = { digest, mediaType, expiresAt, bytes, expiry: expiryOf(row) }
    cache.putManifest(repository, name, found)
    return found
  }
}

function verifyDigest(digest: Digest, sha256: Digest, bytes: Uint8Array): void {
  const algorithm = algorithmOf(digest)
  const actual = algorithm === 'sha256' ? sha256 : digestOf(bytes, algorithm)
  if (actual === digest) return
  throw registryError('DIGEST_INVALID', `the manifest (${bytes.length} bytes) is ${actual}, not ${digest}`)
}

function unknownManifestIn(
  metadata: LocalOptions['metadata'],
  repository: RepositoryName,
  reference: Reference,
) {
  return unknownIn(metadata, repository, unknownManifest(repository, reference))
}

/** Returns MANIFEST_UNKNOWN for a reference. */
export function unknownManifest(repository: RepositoryName, reference: Reference) {
  const named = reference.tag === undefined ? `manifest ${reference.digest}` : `tag "${reference.tag}"`
  return registryError('MANIFEST_UNKNOWN', `${repository} has no ${named}`, {
    detail: { name: repository, reference: formatReference(reference) },
  })
}
