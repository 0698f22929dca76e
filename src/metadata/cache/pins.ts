import { and, asc, eq, sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import { matchesPattern, parseRepositoryPattern } from '../../domain/repository-pattern.ts'
import { digestFromBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import type { RecordAct } from '../accounts/audit.ts'
import type { TagRows } from '../content/tags/tag-rows.ts'
import type { Db } from '../database.ts'
import { cachePin } from '../schema/cache-schema.ts'
import { manifest, manifestReference } from '../schema/schema.ts'
import { bytes, number, statement } from '../statement.ts'

/** Pins of one data folder. */
const PINS_MAX = 1000

/** Cached content that is never evicted. */
export interface Pin {
  pattern: string
  /** A tag, a digest, or empty for all of the repositories. */
  reference: string
}

interface PinnableManifest {
  id: number
  repositoryId: number
  repository: string
  digest: Buffer
}

export type Pins = ReturnType<typeof pinRows>

/** The pins, for evictions. */
export function pinRows(db: Db, tags: Pick<TagRows, 'pointingAt'>) {
  const indexes = statement(db, { digest: bytes, repositoryId: number }, ({ digest, repositoryId }) =>
    db
      .select({ id: manifest.id, digest: manifest.digest })
      .from(manifestReference)
      .innerJoin(manifest, eq(manifest.id, manifestReference.manifestId))
      .where(
        and(
          eq(manifestReference.digest, digest),
          eq(manifestReference.repositoryId, repositoryId),
          eq(manifestReference.role, 'child'),
        ),
      ),
  )
  return {
    /** Whether a pin names a manifest, or an index that lists it. */
    isPinned({ id, repositoryId, repository, digest }: PinnableManifest): boolean {
      const pins = db.select().from(cachePin).limit(PINS_MAX).all()
      const own = pins.filter(({ pattern }) =>
        matchesPattern(parseRepositoryPattern(pattern), repository as RepositoryName),
      )
      if (own.length === 0) return false
      const named = [{ id, digest }, ...indexes.all({ digest, repositoryId })]
      const names = new Set([
        '',
        ...named.flatMap((one) => [digestFromBytes(one.digest), ...tags.pointingAt(one.id)]),
      ])
      return own.some(({ reference }) => names.has(reference))
    },
  }
}

/** Changes of pins, each for one call of the writer. */
export function pinWrites(db: Db, recordAct: RecordAct) {
  return {
    /** Pins content that is cached now or later. Throws CONFLICT when there are too many pins. */
    addPin({ caller, at, pattern, reference }: Write & Pin): Pin & { createdAt: number; isNew: boolean } {
      const [counted] = db.select({ count: sql<number>`count(*)` }).from(cachePin).all()
      if ((counted?.count ?? 0) >= PINS_MAX) {
        throw registryError('CONFLICT', `there are ${PINS_MAX} pins: remove some, or pin whole patterns`)
      }
      const isMeant = and(eq(cachePin.pattern, pattern), eq(cachePin.reference, reference))
      const before = db.select().from(cachePin).where(isMeant).get()
      if (before !== undefined) return { ...before, isNew: false }
      db.insert(cachePin).values({ pattern, reference, createdAt: at }).run()
      recordAct({ action: 'pin.create', target: pattern, detail: { reference } }, caller, at)
      return { pattern, reference, createdAt: at, isNew: true }
    },

    /** Throws NOT_FOUND when there is no such pin. */
    removePin({ caller, at, pattern, reference }: Write & Pin): void {
      const isMeant = and(eq(cachePin.pattern, pattern), eq(cachePin.reference, reference))
      const removed = db.delete(cachePin).where(isMeant).returning().all()
      if (removed.length === 0)
        throw registryError('NOT_FOUND', `there is no pin of ${pattern} with this reference`)
      recordAct({ action: 'pin.delete', target: pattern, detail: { reference } }, caller, at)
    },
  }
}

/** Reads of the pins. */
export function pinReads(db: Db) {
  return {
    list: () =>
      db
        .select()
        .from(cachePin)
        .orderBy(asc(cachePin.pattern), asc(cachePin.reference))
        .limit(PINS_MAX)
        .all(),
  }
}
