import { and, isNull, sql } from 'drizzle-orm'
import type { Write } from '../access/access.ts'
import type { RecordAct } from '../accounts/audit-rows.ts'
import type { Db } from '../database/database.ts'
import { checkVersion, type VersionOfCall } from '../database/operation.ts'
import { repository, upstream } from '../database/schema.ts'
import { deleteBy, pageBy, putInto, selectBy, statement, text } from '../database/statement.ts'
import { type RegistryError, registryError } from '../oci/error.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    upstreams: ReturnType<typeof upstreamReads>
  }
  interface Operations extends ReturnType<typeof upstreamWrites> {}
}

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
  const rows = selectBy(db, upstream, 'name')
  const all = pageBy(db, upstream, ['name', 'asc'])
  const put = putInto(db, upstream)
  const remove = deleteBy(db, upstream, 'name')
  const find = ({ name, condition }: UpstreamWrite) => {
    const row = rows.get({ name })
    checkVersion(`upstream ${name}`, row?.version, condition)
    return row
  }
  const refuseLocalNames = (name: string) => {
    const repositories = localUnder(name)
    if (repositories.length > 0) throw registryError('CONFLICT', localNamesTaken(name, repositories))
  }
  const refuseTooMany = () => {
    if (all.all({ last: '', limit: UPSTREAMS_MAX }).length < UPSTREAMS_MAX) return
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
      if (row === undefined) refuseTooMany()
      const createdAt = row?.createdAt ?? at
      put.run({ name, settings, secret, createdAt, changedAt: at, version: version() })
      const action = row === undefined ? 'upstream.create' : 'upstream.change'
      recordAct({ action, target: name, detail }, caller, at)
    },

    /** Throws NOT_FOUND. */
    removeUpstream(call: UpstreamWrite): void {
      const { caller, at, name } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no upstream ${name}`)
      remove.run({ name })
      recordAct({ action: 'upstream.delete', target: name }, caller, at)
    },
  }
}

/** Returns the error for pushes to repositories of an upstream. */
export function pullOnly(upstream: string): RegistryError {
  return registryError(
    'UNSUPPORTED',
    `repositories of ${upstream} are cached and cannot be pushed to: push to a name that does not begin with ${upstream}/`,
  )
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
  const rows = selectBy(db, upstream, 'name')
  const all = pageBy(db, upstream, ['name', 'asc'])
  return {
    list: (): UpstreamRow[] => all.all({ last: '', limit: UPSTREAMS_MAX }),
    find: (name: string): UpstreamRow | undefined => rows.get({ name }),
  }
}

/** Returns some local repositories whose name begins with a component. */
export function localNames(db: Db): (first: string) => string[] {
  const names = statement(db, { from: text, to: text }, ({ from, to }) =>
    db
      .select({ name: repository.name })
      .from(repository)
      .where(
        and(
          sql`${repository.name} >= ${from} and ${repository.name} < ${to}`,
          isNull(repository.upstream),
          isNull(repository.deletedAt),
        ),
      )
      .limit(10),
  )
  return (first) => names.all({ from: `${first}/`, to: `${first}0` }).map(({ name }) => name)
}
