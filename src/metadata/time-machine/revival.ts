import { and, eq, sql } from 'drizzle-orm'
import { manifestFinder } from '../content/manifest-rows.ts'
import type { Db } from '../database.ts'
import { reachability } from '../garbage/reachability.ts'
import { blob, manifest, manifestReference, repositoryBlob } from '../schema.ts'
import type { Restore } from './restore.ts'

/** A manifest that is there again; `wasHidden` tells that it had been deleted. */
export interface Revived {
  id: number
  wasHidden: boolean
}

/**
 * Brings a manifest back with what it names: the blobs, and the children that were deleted, too. Answers undefined
 * when there is none, or it was deleted before the window.
 */
export function revivals(db: Db) {
  const find = manifestFinder(db)
  const reach = reachability(db)
  const children = db
    .select({ digest: manifestReference.digest })
    .from(manifestReference)
    .where(and(eq(manifestReference.manifestId, sql.placeholder('id')), eq(manifestReference.role, 'child')))
    .prepare()
  const show = db
    .update(manifest)
    .set({ deletedAt: null })
    .where(eq(manifest.id, sql.placeholder('id')))
    .prepare()
  const showLinks = db
    .update(repositoryBlob)
    .set({ deletedAt: null, unreferencedAt: null })
    .where(
      sql`${repositoryBlob.repositoryId} = ${sql.placeholder('repositoryId')} and ${repositoryBlob.blobId} in (
        select ${blob.id} from ${manifestReference} join ${blob} on ${blob.digest} = ${manifestReference.digest}
        where ${manifestReference.manifestId} = ${sql.placeholder('id')})`,
    )
    .prepare()
  return (repositoryId: number, digest: Buffer, { at, windowStart }: Restore): Revived | undefined => {
    const root = find(repositoryId, digest)
    if (root === undefined) return undefined
    if (root.deletedAt !== null && root.deletedAt < windowStart) return undefined
    const waiting: Pick<typeof root, 'id' | 'deletedAt'>[] = [root]
    const shown: number[] = []
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next.deletedAt !== null) {
        show.run({ id: next.id })
        showLinks.run({ repositoryId, id: next.id })
        reach.appeared(next.id)
        shown.push(next.id)
      }
      for (const { digest } of children.all({ id: next.id })) {
        const child = find(repositoryId, digest)
        if (child && child.deletedAt !== null && child.deletedAt >= windowStart) waiting.push(child)
      }
    }
    for (const id of shown) reach.lost(id, at)
    return { id: root.id, wasHidden: root.deletedAt !== null }
  }
}
