import { and, eq, sql } from 'drizzle-orm'
import type { Write } from '../access/access.ts'
import { matchesPattern, parseRepositoryPattern } from '../access/patterns.ts'
import type { RecordAct } from '../accounts/store.ts'
import type { Db } from '../database/database.ts'
import { cachePin, manifest, manifestReference } from '../database/schema.ts'
import { bytes, deleteBy, insertInto, number, selectBy, statement } from '../database/statement.ts'
import { digestFromBytes } from '../oci/digest.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Rows } from '../registry/store.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    pins: ReturnType<typeof pinReads>
  }
  interface Operations extends ReturnType<typeof pinWrites> {}
}

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
export function pinRows(db: Db, { tags }: Pick<Rows, 'tags'>) {
  const all = pinList(db)
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
      const own = all
        .all({})
        .filter(({ pattern }) =>
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
  const pins = selectBy(db, cachePin, 'pattern', 'reference')
  const all = pinList(db)
  const insert = insertInto(db, cachePin)
  const remove = deleteBy(db, cachePin, 'pattern', 'reference')
  return {
    /** Pins content that is cached now or later. Throws CONFLICT when there are too many pins. */
    addPin({ caller, at, pattern, reference }: Write & Pin): Pin & { createdAt: number; isNew: boolean } {
      if (all.all({}).length >= PINS_MAX) {
        throw registryError('CONFLICT', `there are ${PINS_MAX} pins: remove some, or pin whole patterns`)
      }
      const before = pins.get({ pattern, reference })
      if (before !== undefined) return { ...before, isNew: false }
      insert.run({ pattern, reference, createdAt: at })
      recordAct({ action: 'pin.create', target: pattern, detail: { reference } }, caller, at)
      return { pattern, reference, createdAt: at, isNew: true }
    },

    /** Throws NOT_FOUND when there is no such pin. */
    removePin({ caller, at, pattern, reference }: Write & Pin): void {
      if (pins.get({ pattern, reference }) === undefined)
        throw registryError('NOT_FOUND', `there is no pin of ${pattern} with this reference`)
      remove.run({ pattern, reference })
      recordAct({ action: 'pin.delete', target: pattern, detail: { reference } }, caller, at)
    },
  }
}

/** Reads of the pins. */
export function pinReads(db: Db) {
  const all = pinList(db)
  return { list: () => all.all({}) }
}

function pinList(db: Db) {
  return statement(
    db,
    {},
    () => sql<Pin & { createdAt: number }>`select pattern, reference, created_at as createdAt
      from cache_pin order by pattern, reference limit ${PINS_MAX}`,
    'pins',
  )
}
