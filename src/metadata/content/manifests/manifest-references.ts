import { and, eq, isNotNull, sql } from 'drizzle-orm'
import { RegistryError } from '../../../oci/error.ts'
import type { ManifestReference } from '../../../oci/manifest.ts'
import type { Db } from '../../database.ts'
import { blob, manifestReference, repositoryBlob } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import type { ManifestPut } from './manifest-put.ts'

/** How many missing references an error names. */
const MISSING_MAX = 100

export type ReferenceRows = ReturnType<typeof referenceRows>

/** The rows of a manifest's references. */
export function referenceRows(db: Db) {
  const { unready, lacking, insert, markUsed, use } = referenceStatements(db)
  /** Returns those of the positions whose reference is not a manifest of the repository either. */
  const notChildren = (repositoryId: number, references: ManifestReference[], positions: number[]) => {
    const children = positions.filter((at) => references[at]?.role === 'child')
    if (children.length === 0) return positions
    const digests = JSON.stringify(children.map((at) => hexOf(references[at] as ManifestReference)))
    const missing = new Set(lacking.all({ repositoryId, digests }).map(({ at }) => children[at]))
    return positions.filter((at) => references[at]?.role !== 'child' || missing.has(at))
  }
  return {
    /**
     * Returns the ids of the blobs that a manifest references and that count as unreferenced. Throws
     * MANIFEST_BLOB_UNKNOWN with one entry for each reference that the repository lacks, at most 100.
     */
    check(
      repositoryId: number,
      { manifest: { references }, optionalRoles, repository }: ManifestPut,
    ): number[] {
      const unused: number[] = []
      const unlinked: number[] = []
      const digests = JSON.stringify(references.map(hexOf))
      for (const { at, blobId, isLinked } of unready.all({ repositoryId, digests })) {
        if (blobId !== null) unused.push(blobId)
        const { role } = references[at] as ManifestReference
        if (isLinked === 0 && !optionalRoles.includes(role)) unlinked.push(at)
      }
      const missing = notChildren(repositoryId, references, unlinked)
      if (missing.length === 0) return unused
      throw new RegistryError(
        missing.slice(0, MISSING_MAX).map((at) => {
          const { digest, role } = references[at] as ManifestReference
          return {
            code: 'MANIFEST_BLOB_UNKNOWN',
            message: `${role} ${digest} is not in ${repository}: push it before the manifest`,
            detail: { digest },
          }
        }),
      )
    },

    insert(repositoryId: number, manifestId: number, references: ManifestReference[]): void {
      if (references.length === 0) return
      const named = JSON.stringify(references.map((reference) => `${reference.role}:${hexOf(reference)}`))
      insert.run({ repositoryId, manifestId, named })
    },

    /** Marks the blobs that a new manifest references as referenced, as long as its row exists. */
    use(repositoryId: number, blobIds: number[]): void {
      if (blobIds.length > 0) use.run({ repositoryId, blobIds: JSON.stringify(blobIds) })
    },

    /** Does the same for all recorded references of a manifest. */
    markUsed: (repositoryId: number, manifestId: number) => markUsed.run({ repositoryId, manifestId }),
  }
}

const hexOf = ({ digest }: ManifestReference): string => digest.slice(digest.indexOf(':') + 1)

/** Each statement handles all references of a manifest at once, which costs half as much as one at a time. */
function referenceStatements(db: Db) {
  // Finds the references that are not linked blobs, and the blobs that are marked as unreferenced (`blobId`).
  const unready = statement(
    db,
    { digests: text, repositoryId: number },
    ({ digests, repositoryId }) =>
      sql<{ at: number; blobId: number | null; isLinked: number }>`
      select n.key as at, iif(l.unreferenced_at is null, null, l.blob_id) as blobId,
        l.blob_id is not null and l.deleted_at is null as isLinked
      from json_each(${digests}) n
      left join blob b on b.digest = unhex(n.value)
      left join repository_blob l on l.blob_id = b.id and l.repository_id = ${repositoryId}
      where l.blob_id is null or l.deleted_at is not null or l.unreferenced_at is not null`,
  )
  const lacking = statement(
    db,
    { digests: text, repositoryId: number },
    ({ digests, repositoryId }) =>
      sql<{ at: number }>`
      select n.key as at from json_each(${digests}) n
      left join manifest m on m.digest = unhex(n.value) and m.repository_id = ${repositoryId}
      left join manifest_digest d on m.id is null and d.digest = unhex(n.value) and d.repository_id = ${repositoryId}
      left join manifest o on o.id = d.manifest_id
      where iif(m.id is null, o.id is null or o.deleted_at is not null, m.deleted_at is not null)`,
  )
  const insert = statement(
    db,
    { manifestId: number, named: text, repositoryId: number },
    ({ manifestId, named, repositoryId }) =>
      // In the order of the index, which reads and writes each of its pages once.
      sql`insert into ${manifestReference} (manifest_id, digest, role, repository_id)
        select ${manifestId}, unhex(substr(n.value, instr(n.value, ':') + 1)),
          substr(n.value, 1, instr(n.value, ':') - 1), ${repositoryId}
        from json_each(${named}) n order by 2, n.key
        on conflict do nothing`,
  )
  const markUsed = statement(
    db,
    { repositoryId: number, manifestId: number },
    ({ repositoryId, manifestId }) => {
      const named = sql`${repositoryBlob.repositoryId} = ${repositoryId} and ${repositoryBlob.blobId} in (
        select ${blob.id} from ${manifestReference} join ${blob} on ${blob.digest} = ${manifestReference.digest}
        where ${manifestReference.manifestId} = ${manifestId})`
      return db
        .update(repositoryBlob)
        .set({ unreferencedAt: null })
        .where(and(named, isNotNull(repositoryBlob.unreferencedAt)))
    },
  )
  const use = statement(db, { repositoryId: number, blobIds: text }, ({ repositoryId, blobIds }) =>
    db
      .update(repositoryBlob)
      .set({ unreferencedAt: null })
      .where(
        and(
          eq(repositoryBlob.repositoryId, repositoryId),
          sql`${repositoryBlob.blobId} in (select value from json_each(${blobIds}))`,
        ),
      ),
  )
  return { unready, lacking, insert, markUsed, use }
}
