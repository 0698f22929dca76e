import { asc, eq, sql } from 'drizzle-orm'
import type { Write } from '../../domain/access/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { RecordAct } from '../accounts/audit.ts'
import type { Db } from '../database.ts'
import { upstream } from '../schema/cache-schema.ts'
import { checkVersion, type VersionOfCall } from '../versions.ts'
import { localNames } from './cache-reads.ts'

/** Upstreams of one data folder that were added with the API. */
const UPSTREAMS_MAX = 100

/** An upstream that was added with the API. */
export type UpstreamRow = typeof upstream.$inferSelect

interface UpstreamWrite extends Write {
  name: string
}

export interface UpstreamPut extends UpstreamWrite {
  settings: string
  secret: string | null
  /** The version of the row whose secret was kept; undefined if there was no row. */
  seen: number | undefined
  /** Details for the audit log, never a secret. */
  detail: Record<string, string | string[] | undefined>
}

/** Changes of upstreams, each for one call of the writer. They throw PRECONDITION_FAILED. */
export function upstreamWrites(
  db: Db,
  { recordAct, version }: { recordAct: RecordAct; version: VersionOfCall },
) {
  const localUnder = localNames(db)
  const find = ({ name, condition }: UpstreamWrite) => {
    const row = db.select().from(upstream).where(eq(upstream.name, name)).get()
    checkVersion(`upstream ${name}`, row?.version, condition)
    return row
  }
  const refuseLocalNames = (name: string) => {
    const repositories = localUnder(name)
    if (repositories.length > 0) throw registryError('CONFLICT', localNamesTaken(name, repositories))
  }
  const refuseTooMany = () => {
    const counted = db.select({ count: sql<number>`count(*)` }).from(upstream).get()
    if ((counted?.count ?? 0) < UPSTREAMS_MAX) return
    throw registryError('CONFLICT', `there are ${UPSTREAMS_MAX} upstreams: remove some`)
  }
  return {
    /** Adds or replaces an upstream. Throws CONFLICT if local repositories have its name. */
    putUpstream(call: UpstreamPut): void {
      const { caller, at, name, settings, secret, seen, detail } = call
      const row = find(call)
      if (row?.version !== seen)
        throw registryError('CONFLICT', `upstream ${name} was changed at the same time: try again`)
      refuseLocalNames(name)
      const set = { settings, secret, changedAt: at, version: version() }
      if (row === undefined) {
        refuseTooMany()
        db.insert(upstream)
          .values({ name, createdAt: at, ...set })
          .run()
      } else {
        db.update(upstream).set(set).where(eq(upstream.name, name)).run()
      }
      recordAct(
        { action: row === undefined ? 'upstream.create' : 'upstream.change', target: name, detail },
        caller,
        at,
      )
    },

    /** Throws NOT_FOUND. */
    removeUpstream(call: UpstreamWrite): void {
      const { caller, at, name } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no upstream ${name}`)
      db.delete(upstream).where(eq(upstream.name, name)).run()
      recordAct({ action: 'upstream.delete', target: name }, caller, at)
    },
  }
}

/** Says why a name cannot be an upstream's. */
export function localNamesTaken(name: string, repositories: string[]): string {
  return (
    `upstream ${name}: local repositories have names that begin with ${name}/, for example ` +
    `${repositories.slice(0, 3).join(', ')}: delete or rename them, or give the upstream another name`
  )
}

/** Reads of the upstreams that were added with the API. */
export function upstreamReads(db: Db) {
  return {
    list: (): UpstreamRow[] =>
      db.select().from(upstream).orderBy(asc(upstream.name)).limit(UPSTREAMS_MAX).all(),

    find: (name: string): UpstreamRow | undefined =>
      db.select().from(upstream).where(eq(upstream.name, name)).get(),
  }
}
