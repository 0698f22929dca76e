import { sql } from 'drizzle-orm'
import type { FindManifest } from '../content/manifests/manifest-rows.ts'
import type { Db } from '../database.ts'
import type { Reachability } from '../garbage/reachability.ts'
import { selectBy, updateBy } from '../rows.ts'
import { blob, manifest, manifestReference, repositoryBlob } from '../schema/schema.ts'
import { number, statement } from '../statement.ts'
import type { Restore } from './restore.ts'

/** A restored manifest. `wasHidden` says whether it had been deleted. */
export interface RestoredContent {
  id: number
  wasHidden: boolean
}

/**
 * Restores a manifest with its blobs, and with those of its children that were deleted. Returns undefined if it does
 * not exist or was deleted before the undo window.
 */
export type RestoreContent = ReturnType<typeof contentRestores>

export function contentRestores(db: Db, { find, reach }: { find: FindManifest; reach: Reachability }) {
  const references = selectBy(db, manifestReference, 'manifestId', 'role')
  const show = updateBy(db, manifest, ['deletedAt'], 'id')
  const showLinks = statement(db, { id: number, repositoryId: number }, ({ id, repositoryId }) =>
    db
      .update(repositoryBlob)
      .set({ deletedAt: null, unreferencedAt: null })
      .where(
        sql`${repositoryBlob.repositoryId} = ${repositoryId} and ${repositoryBlob.blobId} in (
          select ${blob.id} from ${manifestReference} join ${blob} on ${blob.digest} = ${manifestReference.digest}
          where ${manifestReference.manifestId} = ${id})`,
      ),
  )
  return (
    repositoryId: number,
    digest: Buffer,
    { at, windowStart }: Restore,
  ): RestoredContent | undefined => {
    const root = find(repositoryId, digest)
    if (root === undefined) return undefined
    if (root.deletedAt !== null && root.deletedAt < windowStart) return undefined
    const waiting: Pick<typeof root, 'id' | 'deletedAt'>[] = [root]
    const shown: number[] = []
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      if (next.deletedAt !== null) {
        show.run({ id: next.id, deletedAt: null })
        showLinks.run({ repositoryId, id: next.id })
        reach.appeared(next.id)
        shown.push(next.id)
      }
      for (const { digest } of references.all({ manifestId: next.id, role: 'child' })) {
        const child = find(repositoryId, digest)
        if (child && child.deletedAt !== null && child.deletedAt >= windowStart) waiting.push(child)
      }
    }
    for (const id of shown) reach.lost(id, at)
    return { id: root.id, wasHidden: root.deletedAt !== null }
  }
}
