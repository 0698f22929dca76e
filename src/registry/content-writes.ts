import { and, eq, isNull } from 'drizzle-orm'
import type { Condition, Write } from '../access/access.ts'
import type { Db } from '../database/database.ts'
import { CONTENT_STALE, checkVersion, type Parts, type Stale } from '../database/operation.ts'
import { convertedManifest, manifest, manifestReference, repositoryBlob } from '../database/schema.ts'
import { bytes, number, putInto, statement, updateBy } from '../database/statement.ts'
import { registryError } from '../oci/error.ts'
import {
  type Digest,
  digestFromBytes,
  digestToBytes,
  type Reference,
  type RepositoryName,
} from '../oci/reference.ts'
import { type LinkedBlob, renewalWrites, selectLink } from './blobs.ts'
import type { ConversionSource, UnlabelledManifest } from './content-reads.ts'
import type { ManifestPut, StoredRow } from './manifests.ts'
import { pullWrites, usageWrites } from './pull-counts.ts'
import type { RepositorySettings } from './repositories.ts'
import type { Rows } from './store.ts'
import type { TagWrite } from './tags.ts'

declare module '../database/metadata.ts' {
  interface Operations extends ReturnType<typeof registryWrites> {}
}

/** Creates the writes of the registry's content, each for one call of the writer. */
export function registryWrites(db: Db, rows: Rows) {
  return {
    ...blobWrites(db, rows),
    ...renewalWrites(db),
    ...manifestWrites(rows),
    ...conversionWrites(db, rows),
    ...labelWrites(rows),
    ...tagWrites(rows),
    ...repositoryWrites(rows),
    ...usageWrites(db, rows.findManifest),
    ...pullWrites(db),
  }
}

export interface ManifestDelete extends Write {
  repository: RepositoryName
  reference: Reference
  /** The condition on the digest of the tag. */
  precondition?: Condition | undefined
}

/** Writes of manifests and their tags. */
function manifestWrites(rows: Rows) {
  const { recordEvent, repositories, manifests, references, labels, reach, moves } = rows
  /** A shorter path for new images, which list no manifests. Most pushes are of this kind. */
  const markReached = (
    repositoryId: number,
    stored: StoredRow,
    { digest, sha256, manifest }: ManifestPut,
  ) => {
    if (!stored.inserted || manifest.references.some(({ role }) => role === 'child')) {
      return reach.appeared(stored.id)
    }
    reach.subjectCame(repositoryId, [...new Set([digest, sha256])].map(digestToBytes))
  }
  return {
    /**
     * Stores a manifest and points its tags at it. Returns whether cached data is stale. Throws MANIFEST_BLOB_UNKNOWN
     * with one entry for each of the first 100 references that the repository lacks, and DENIED (409) for a tag that
     * cannot be moved.
     */
    putManifest(call: ManifestPut): { stale: Stale | undefined } {
      const repositoryId = repositories.ensureLocal(call.repository, call.at)
      for (const name of call.tags) moves.check(repositoryId, name, call)
      const unused = references.check(repositoryId, call)
      const stored = manifests.put(repositoryId, call)
      if (stored.inserted) {
        references.insert(repositoryId, stored.id, call.manifest.references)
        references.use(repositoryId, unused)
      } else references.markUsed(repositoryId, stored.id)
      labels.put(repositoryId, stored.id, call.labels)
      if (stored.appeared) markReached(repositoryId, stored, call)
      let replaced = stored.replaced
      const { caller, at, digest, expiresAfterSeconds } = call
      const expiresAt = expiresAfterSeconds === undefined ? null : at + expiresAfterSeconds * 1000
      const target = { caller, at, digest, expiresAt, act: 'manifest.push' } as const
      for (const name of call.tags) {
        if (moves.move(repositoryId, name, stored.id, target)) replaced = true
      }
      if (stored.appeared && call.tags.length === 0) reach.untagged(stored.id, call.at)
      const change = { type: 'manifest.push', repository: call.repository, digest: call.digest } as const
      for (const name of call.tags) recordEvent({ ...change, tag: name }, call.caller, call.at)
      if (call.tags.length === 0) recordEvent(change, call.caller, call.at)
      return { stale: replaced ? 'content' : undefined }
    },

    deleteManifest: manifestDeletion(rows),
  }
}

/** Deletes a manifest and the tags that point at it, or one tag. Throws NAME_UNKNOWN or MANIFEST_UNKNOWN. */
function manifestDeletion(rows: Rows) {
  const { recordEvent, repositories, moves } = rows
  const hide = manifestHiding(rows)
  return function* deleteManifest(call: ManifestDelete): Parts<typeof CONTENT_STALE> {
    const repositoryId = repositories.find(call.repository)
    if (repositoryId === undefined) throw registryError('NAME_UNKNOWN')
    const { digest, tag } = call.reference
    if (tag === undefined) return yield* hide(repositoryId, digest, call)
    moves.check(repositoryId, tag, call)
    if (!moves.remove(repositoryId, tag, { caller: call.caller, at: call.at, act: 'tag.delete' })) {
      throw registryError('MANIFEST_UNKNOWN', `${call.repository} has no tag "${tag}"`)
    }
    recordEvent({ type: 'tag.delete', repository: call.repository, tag }, call.caller, call.at)
    return CONTENT_STALE
  }
}

function manifestHiding({ recordEvent, findManifest, manifests, moves, reach }: Rows) {
  /** The deletions that are between two of their parts: the ids of manifests, and when each was deleted. */
  const unfinished = new Map<number, number>()
  return function* hide(
    repositoryId: number,
    digest: Digest,
    call: ManifestDelete,
  ): Parts<typeof CONTENT_STALE> {
    const found = findManifest(repositoryId, digestToBytes(digest))
    if (found === undefined) throw registryError('MANIFEST_UNKNOWN')
    const { id, deletedAt } = found
    // If the process ended between two parts of a deletion, repeating the call removes the remaining tags.
    const isGone = deletedAt !== null && (unfinished.get(id) === deletedAt || !moves.isTagged(id))
    if (isGone) throw registryError('MANIFEST_UNKNOWN')
    const { caller, repository } = call
    const at = deletedAt ?? call.at
    const move = { caller, at, act: 'manifest.delete' } as const
    try {
      if (deletedAt === null) {
        checkVersion(`the manifest ${digest}`, found.version, call.condition)
        manifests.hide(id, at)
        reach.vanished(id, at)
        recordEvent({ type: 'manifest.delete', repository, digest }, caller, at)
        if (!moves.removeSome(repositoryId, id, move)) return CONTENT_STALE
        unfinished.set(id, at)
        yield CONTENT_STALE
      }
      unfinished.set(id, at)
      // A push that restores the manifest meanwhile counts as later than the deletion, so its tags stay.
      const isDeleted = () => findManifest(repositoryId, digestToBytes(digest))?.deletedAt === at
      while (isDeleted() && moves.removeRest(repositoryId, id, move)) yield CONTENT_STALE
      return CONTENT_STALE
    } finally {
      if (unfinished.get(id) === at) unfinished.delete(id)
    }
  }
}

/** The last millisecond that RFC 3339 can express. */
const LAST_TIME = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/** Changes of tags apart from pushes. */
function tagWrites({ recordEvent, beginTagWrite, findManifest, moves }: Rows) {
  return {
    /** Points a tag at a manifest of the repository. Throws NAME_UNKNOWN, MANIFEST_UNKNOWN, DENIED (409, 412). */
    putTag(call: TagWrite & { digest: Digest }): { stale: 'content'; isNew: boolean } {
      const repositoryId = beginTagWrite(call)
      const { caller, at, digest, repository, tag } = call
      const found = findManifest(repositoryId, digestToBytes(digest))
      if (found === undefined || found.deletedAt !== null)
        throw registryError('MANIFEST_UNKNOWN', `${repository} has no manifest ${digest}`)
      const isNew = moves.find(repositoryId, tag, at) === undefined
      const isOther = moves.move(repositoryId, tag, found.id, { caller, at, digest, act: 'tag.put' })
      if (isNew || isOther) recordEvent({ type: 'tag.put', repository, tag, digest }, caller, at)
      return { stale: 'content', isNew }
    },

    /**
     * Sets when a tag expires: a time in the future, or null for never. Throws NAME_UNKNOWN, MANIFEST_UNKNOWN,
     * DENIED, REQUEST_INVALID.
     */
    expireTag(call: TagWrite & { expiresAt: number | null }): { stale: 'content' } {
      const repositoryId = beginTagWrite(call)
      const { caller, at, repository, tag, expiresAt } = call
      if (expiresAt !== null && expiresAt <= at)
        throw registryError(
          'REQUEST_INVALID',
          'expiresAt must be in the future; to expire the tag now, delete it',
        )
      if (expiresAt !== null && expiresAt > LAST_TIME)
        throw registryError('REQUEST_INVALID', 'expiresAt must be before the year 10000, or null for never')
      const row = moves.find(repositoryId, tag, at)
      if (row === undefined) throw registryError('MANIFEST_UNKNOWN', `${repository} has no tag "${tag}"`)
      if (row.expiresAt === expiresAt) return { stale: 'content' }
      moves.setEnd(repositoryId, tag, row, expiresAt)
      recordEvent({ type: 'tag.change', repository, tag, digest: digestFromBytes(row.digest) }, caller, at)
      return { stale: 'content' }
    },
  }
}

interface RepositoryState extends RepositorySettings {
  id: number
  version: number
}

/** A write of one repository. It throws PRECONDITION_FAILED when its condition does not hold. */
export interface RepositoryWrite extends Write {
  repository: RepositoryName
}

const DEFAULTS: RepositorySettings = {
  description: '',
  untaggedDays: null,
  immutableTags: false,
  immutablePatterns: [],
}

/** Changes of repositories. */
function repositoryWrites({ recordEvent, repositories }: Rows) {
  const get = ({ repository, condition }: RepositoryWrite): RepositoryState | undefined => {
    const row = repositories.findState(repository)
    checkVersion(`the repository ${repository}`, row?.version, condition)
    return row
  }
  const getThere = (call: RepositoryWrite): RepositoryState => {
    const row = get(call)
    if (row !== undefined) return row
    throw registryError('NAME_UNKNOWN', `there is no repository ${call.repository}`)
  }
  const change = (call: RepositoryWrite, row: RepositoryState, settings: RepositorySettings): boolean => {
    if (isSame(row, settings)) return false
    repositories.change(row.id, settings)
    recordEvent({ type: 'repository.change', repository: call.repository }, call.caller, call.at)
    return true
  }

  return {
    /** Creates a repository, or replaces the settings of an existing one. Omitted settings get their defaults. */
    putRepository(call: RepositoryWrite & Partial<RepositorySettings>): { id: number; isNew: boolean } {
      const { repository, caller, at } = call
      const settings = settingsOf(call, DEFAULTS)
      const row = get(call)
      if (row !== undefined) {
        change(call, row, settings)
        return { id: row.id, isNew: false }
      }
      const id = repositories.ensureLocal(repository, at)
      if (!isSame(DEFAULTS, settings)) repositories.change(id, settings)
      recordEvent({ type: 'repository.create', repository }, caller, at)
      return { id, isNew: true }
    },

    /** Changes the settings that are given. Throws NAME_UNKNOWN, or PRECONDITION_FAILED. */
    changeRepository(call: RepositoryWrite & { change: Partial<RepositorySettings> }): { id: number } {
      const row = getThere(call)
      change(call, row, settingsOf(call.change, row))
      return { id: row.id }
    },

    /** Deletes a repository with its content. Throws NAME_UNKNOWN, or PRECONDITION_FAILED. */
    deleteRepository(call: RepositoryWrite): { stale: 'content' } {
      const { id } = getThere(call)
      repositories.setDeleted(id, call.at)
      recordEvent({ type: 'repository.delete', repository: call.repository }, call.caller, call.at)
      return { stale: 'content' }
    },
  }
}

function settingsOf(given: Partial<RepositorySettings>, otherwise: RepositorySettings): RepositorySettings {
  const { description, untaggedDays, immutableTags, immutablePatterns } = given
  return {
    description: description ?? otherwise.description,
    untaggedDays: untaggedDays === undefined ? otherwise.untaggedDays : untaggedDays,
    immutableTags: immutableTags ?? otherwise.immutableTags,
    immutablePatterns: immutablePatterns ?? otherwise.immutablePatterns,
  }
}

function isSame(a: RepositorySettings, b: RepositorySettings): boolean {
  return (
    a.description === b.description &&
    a.untaggedDays === b.untaggedDays &&
    a.immutableTags === b.immutableTags &&
    a.immutablePatterns.join() === b.immutablePatterns.join()
  )
}

export interface ConversionPut extends ConversionSource {
  at: number
  repository: RepositoryName
  /** The conversion's own digest. */
  digest: Digest
  /** A layer of the conversion that the image does not have. */
  layer: LinkedBlob | undefined
}

/** Writes of conversions. */
function conversionWrites(db: Db, { repositories, findManifest, linkBlob, references }: Rows) {
  const put = putInto(db, convertedManifest)
  return {
    /**
     * Records a conversion, so that it can be pulled by its digest; of several sources, the last one is kept. Its
     * layer counts as a layer of the source manifest, and stays as long as that. Does nothing when the manifest no
     * longer exists.
     */
    putConversion(call: ConversionPut): void {
      const repositoryId = repositories.find(call.repository)
      if (repositoryId === undefined) return
      const source = findManifest(repositoryId, digestToBytes(call.manifest))
      if (source === undefined || source.deletedAt !== null) return
      const { layer } = call
      if (layer !== undefined) {
        linkBlob(repositoryId, layer, call.at)
        references.insert(repositoryId, source.id, [{ digest: layer.digest, role: 'layer' }])
        references.markUsed(repositoryId, source.id)
      }
      const digest = digestToBytes(call.digest)
      put.run({ repositoryId, digest, manifestId: source.id, tag: call.tag })
    },
  }
}

/** The labels of a manifest that was stored earlier. */
export interface ReadLabels extends Pick<UnlabelledManifest, 'repositoryId' | 'digest'> {
  labels: readonly string[]
}

/** Writes of the labels of manifests that were stored without them. */
function labelWrites({ findManifest, labels, setTotal }: Rows) {
  return {
    /**
     * Adds labels to manifests that still exist.
     *
     * @param unread the highest id of a manifest from before there were labels that has not been read; undefined to
     *   leave it
     */
    addLabels({ read, unread }: { read: readonly ReadLabels[]; unread?: number | undefined }): void {
      for (const { repositoryId, digest, labels: found } of read) {
        const row = findManifest(repositoryId, digestToBytes(digest))
        if (row) labels.put(repositoryId, row.id, found)
      }
      if (unread !== undefined) setTotal('labels.unread', unread)
    },
  }
}

export interface BlobChange extends Omit<Write, 'condition'> {
  repository: RepositoryName
  digest: Digest
}

/** Writes of blobs. */
function blobWrites(db: Db, { recordEvent, repositories, linkBlob }: Rows) {
  const linked = selectLink(db)
  const user = selectUser(db)
  const record = (type: 'blob.push' | 'blob.mount' | 'blob.delete', call: BlobChange) =>
    recordEvent({ type, repository: call.repository, digest: call.digest }, call.caller, call.at)
  const unlink = updateBy(db, repositoryBlob, ['deletedAt'], 'repositoryId', 'blobId')
  return {
    /** Links a pushed blob into a repository. */
    linkBlob(call: BlobChange & LinkedBlob): void {
      linkBlob(repositories.ensureLocal(call.repository, call.at), call, call.at)
      record('blob.push', call)
    },

    /**
     * Links the blob that `from` holds into the repository. Returns its size in bytes, or undefined if nothing
     * changed.
     */
    mountBlob(call: BlobChange & { from: RepositoryName }): number | undefined {
      const size = linked.get({ name: call.from, digest: digestToBytes(call.digest) })?.size
      if (size === undefined) return undefined
      linkBlob(repositories.ensureLocal(call.repository, call.at), { digest: call.digest, size }, call.at)
      record('blob.mount', call)
      return size
    },

    /**
     * Deletes a blob from the repository. Throws NAME_UNKNOWN, BLOB_UNKNOWN, or DENIED while a manifest there
     * references it.
     */
    unlinkBlob(call: BlobChange): { stale: 'content' } {
      if (repositories.find(call.repository) === undefined) throw registryError('NAME_UNKNOWN')
      const digest = digestToBytes(call.digest)
      const found = linked.get({ name: call.repository, digest })
      if (found === undefined)
        throw registryError('BLOB_UNKNOWN', undefined, { detail: { digest: call.digest } })
      const using = user.get({ repositoryId: found.repositoryId, digest })
      if (using !== undefined) {
        throw registryError(
          'DENIED',
          `the blob is in use by manifest ${using.digest.length === 32 ? 'sha256' : 'sha512'}:` +
            `${using.digest.toString('hex')} of ${call.repository}; delete that manifest first`,
          { status: 405 },
        )
      }
      unlink.run({ ...found, deletedAt: call.at })
      record('blob.delete', call)
      return { stale: 'content' }
    },
  }
}

/** Finds a manifest of the repository that is not deleted and references the blob. */
function selectUser(db: Db) {
  return statement(db, { repositoryId: number, digest: bytes }, ({ repositoryId, digest }) =>
    db
      .select({ digest: manifest.digest })
      .from(manifestReference)
      .innerJoin(manifest, eq(manifest.id, manifestReference.manifestId))
      .where(
        and(
          eq(manifestReference.digest, digest),
          eq(manifest.repositoryId, repositoryId),
          isNull(manifest.deletedAt),
        ),
      )
      .limit(1),
  )
}
