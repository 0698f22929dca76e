import { and, asc, gt, isNull, type SQL, sql } from 'drizzle-orm'
import type { Write } from '../access/access.ts'
import type { RecordAct } from '../accounts/store.ts'
import type { Db } from '../database/database.ts'
import {
  checkVersion,
  type Parts,
  partTime,
  type ReadTotal,
  type VersionOfCall,
} from '../database/operation.ts'
import type { EventType } from '../database/outbox.ts'
import { namespaceBlob, namespaceUsage, quota, repository } from '../database/schema.ts'
import {
  deleteBy,
  firstRows,
  number,
  pageBy,
  putInto,
  selectBy,
  statement,
  text,
} from '../database/statement.ts'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { Rows } from '../registry/store.ts'
import { turn } from '../runtime/clock.ts'
import {
  checkQuota,
  type Freeable,
  namespaceOf,
  type Quota,
  type QuotaLimits,
  type QuotaUsage,
  quotasFor,
  WHOLE_SERVER,
} from './limits.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    quotas: ReturnType<typeof quotaReads>
  }
  interface Operations extends ReturnType<typeof quotaWrites>, ReturnType<typeof countingWrites> {}
}

/** Quotas of one data folder that were set with the API. */
const QUOTAS_MAX = 1000

interface QuotaWrite extends Write {
  namespace: string
}

/** Changes of quotas, each for one call of the writer. They throw PRECONDITION_FAILED. */
export function quotaWrites(
  db: Db,
  { recordAct, version }: { recordAct: RecordAct; version: VersionOfCall },
) {
  const rows = selectBy(db, quota, 'namespace')
  const all = pageBy(db, quota, ['namespace', 'asc'])
  const put = putInto(db, quota)
  const remove = deleteBy(db, quota, 'namespace')
  const find = ({ namespace, condition }: QuotaWrite) => {
    const row = rows.get({ namespace })
    checkVersion(`the quota of ${namespace}`, row?.version, condition)
    return row
  }
  return {
    /** Sets the limits of a namespace. Returns whether it had none. */
    putQuota(call: QuotaWrite & QuotaLimits): boolean {
      const { caller, at, namespace, bytesMax = null, repositoriesMax = null, tagsMax = null } = call
      const row = find(call)
      if (row === undefined && all.all({ last: '', limit: QUOTAS_MAX }).length >= QUOTAS_MAX)
        throw registryError('CONFLICT', `there are ${QUOTAS_MAX} quotas: remove some`)
      put.run({ namespace, bytesMax, repositoriesMax, tagsMax, version: version() })
      const detail = { bytesMax: `${bytesMax}`, repositoriesMax: `${repositoriesMax}`, tagsMax: `${tagsMax}` }
      recordAct({ action: 'quota.set', target: namespace, detail }, caller, at)
      return row === undefined
    },

    /** Throws NOT_FOUND. */
    removeQuota(call: QuotaWrite): void {
      const { caller, at, namespace } = call
      if (find(call) === undefined) throw registryError('NOT_FOUND', `there is no quota of ${namespace}`)
      remove.run({ namespace })
      recordAct({ action: 'quota.delete', target: namespace }, caller, at)
    },
  }
}

/** Reads of the quotas that were set with the API, and of what namespaces hold. */
export function quotaReads(db: Db, total: ReadTotal) {
  const all = pageBy(db, quota, ['namespace', 'asc'])
  type Usage = { namespace: string; bytes: number }
  const usages = statement(db, { last: text, limit: number }, (wanted) => {
    const { last, limit } = wanted
    return sql<Usage>`select namespace, blob_bytes + manifest_bytes as bytes from namespace_usage
      where namespace > ${last} order by namespace limit ${limit}`
  })
  // The row of the whole server comes before all others.
  const read = (last: Usage | undefined, limit: number) =>
    usages.all({ last: last?.namespace ?? WHOLE_SERVER, limit })
  return {
    /** Returns at most `limit` namespaces, the largest first. */
    async largest(limit: number): Promise<string[]> {
      const rows = await firstRows(read, (a, b) => b.bytes - a.bytes, limit)
      return rows.map(({ namespace }) => namespace)
    },

    list: () => all.all({ last: '', limit: QUOTAS_MAX }),

    usage: usageReader(db, total),
    deleted: deletedReader(db),
  }
}

/** Holds the quotas in the writer's thread, refuses writes that exceed one, and counts what namespaces hold. */
export function quotaLimits(db: Db, rows: Rows, counts: CountStatements) {
  const usageOf = usageReader(db, rows.total)
  let quotas: readonly Quota[] = []
  const set = (all: readonly Quota[]) => {
    quotas = all
  }
  /** Returns a function that throws DENIED if what the namespace holds has since grown beyond a quota. */
  const watch = (repository: RepositoryName): (() => void) => {
    const watched = quotasFor(quotas, namespaceOf(repository)).map((quota) => ({
      quota,
      before: usageOf(quota.counted),
    }))
    return () => {
      for (const { quota, before } of watched) checkQuota(quota, before, usageOf(quota.counted))
    }
  }
  return {
    writes: countingWrites(db, rows, counts, set),

    /** Makes an operation throw DENIED, and change nothing, if it exceeds a quota. */
    limited<A extends { repository: RepositoryName }, R>(operation: (call: A) => R): (call: A) => R {
      return (call) => {
        if (quotas.length === 0) return operation(call)
        const check = watch(call.repository)
        const answer = operation(call)
        check()
        return answer
      }
    },

    /** Does the same for an operation in parts. The parts before the one that exceeds a quota stay committed. */
    limitedParts<A extends { repository: RepositoryName }, R>(
      operation: (call: A) => Parts<R>,
    ): (call: A) => Parts<R> {
      return function* (call) {
        for (const parts = operation(call); ; ) {
          const check = watch(call.repository)
          const part = parts.next()
          check()
          if (part.done) return part.value
          yield part.value
        }
      }
    },
  }
}

/** How many repositories are read at once. */
const REPOSITORIES_READ = 100

/** Whether every repository is counted. */
const ALL = Number.MAX_SAFE_INTEGER

/** Returns what a namespace holds; `**` is the whole server. */
function usageReader(db: Db, total: ReadTotal): (namespace: string) => QuotaUsage {
  const byName = selectBy(db, namespaceUsage, 'namespace')
  return (namespace) => {
    const { blobBytes = 0, manifestBytes = 0, repositories = 0, tags = 0 } = byName.get({ namespace }) ?? {}
    // Two namespaces can have the same blob.
    const blobs = namespace === WHOLE_SERVER ? total('blob.bytes') - total('cache.bytes') : blobBytes
    return { bytes: blobs + manifestBytes, repositories, tags }
  }
}

/** Starts and stops counting what namespaces hold, so that without a quota it costs pushes nothing. */
function countingWrites(
  db: Db,
  { total, setTotal, recordEvent }: Rows,
  counts: CountStatements,
  setQuotas: (quotas: readonly Quota[]) => void,
) {
  const local = statement(db, { after: number, limit: number }, ({ after, limit }) =>
    db
      .select({ id: repository.id })
      .from(repository)
      .where(and(gt(repository.id, after), isNull(repository.upstream)))
      .orderBy(asc(repository.id))
      .limit(limit),
  )
  return {
    /** Applies the quotas from now on. Ends when what the namespaces hold has been counted. */
    *applyQuotas({ quotas }: { quotas: Quota[] }): Parts<void> {
      setQuotas(quotas)
      const counted = total('quota.counted')
      if (quotas.length === 0) {
        if (counted > 0) setTotal('quota.counted', 0)
        return
      }
      if (counted === ALL) return
      if (counted === 0) for (const clear of counts.clear) clear.run({})
      for (let isOver = partTime(); ; ) {
        const rows = local.all({ after: total('quota.counted'), limit: REPOSITORIES_READ })
        for (const { id } of rows) {
          for (const count of counts.add) count.run({ id })
          setTotal('quota.counted', id)
          if (!isOver()) continue
          yield { stale: undefined }
          isOver = partTime()
        }
        if (rows.length === 0) return setTotal('quota.counted', ALL)
      }
    },

    /** Records that a quota is almost full. */
    noteQuota(call: Write & { type: Extract<EventType, `quota.${string}`>; namespace: string }): void {
      recordEvent({ type: call.type, repository: call.namespace as RepositoryName }, call.caller, call.at)
    },
  }
}

/** Returns a function that counts a repository which has become a local one, unless the counting has yet to reach it. */
export function repositoryCounter(counts: CountStatements, total: ReadTotal): (id: number) => void {
  return (id) => {
    if (id <= total('quota.counted')) for (const count of counts.add) count.run({ id })
  }
}

type CountStatements = ReturnType<typeof countStatements>

export function countStatements(db: Db) {
  const named = (id: unknown) =>
    sql`(select substr(name, 1, instr(name || '/', '/') - 1) from repository where id = ${id})`
  const run = (build: (id: unknown) => SQL) => statement(db, { id: number }, ({ id }) => build(id))
  return {
    clear: [
      deleteBy(db, namespaceBlob),
      deleteBy(db, namespaceUsage),
      statement(db, {}, () => db.insert(namespaceUsage).values({ namespace: WHOLE_SERVER })),
    ],
    add: [
      run((id) => sql`insert into namespace_usage (namespace) values (${named(id)}) on conflict do nothing`),
      run(
        (id) => sql`update namespace_usage set
          blob_bytes = blob_bytes + coalesce((select sum(b.size) from repository_blob l join blob b on b.id = l.blob_id
            where l.repository_id = ${id} and not exists (select 1 from namespace_blob n
              where n.namespace = namespace_usage.namespace and n.blob_id = l.blob_id)), 0),
          manifest_bytes = manifest_bytes
            + coalesce((select sum(size) from manifest where repository_id = ${id}), 0),
          repositories = repositories + (select deleted_at is null from repository where id = ${id}),
          tags = tags + (select iif(deleted_at is null, tag_count, 0) from repository where id = ${id})
          where namespace in (${named(id)}, ${WHOLE_SERVER})`,
      ),
      run(
        (id) => sql`insert into namespace_blob (namespace, blob_id, links)
          select ${named(id)}, blob_id, 1 from repository_blob where repository_id = ${id}
          on conflict (namespace, blob_id) do update set links = links + 1`,
      ),
    ],
  }
}

/** How many blobs are examined in one turn, and in total. */
const BLOBS_READ = 10
const BLOBS_MAX = 20_000

/** How many manifests are examined for each blob. A blob that more of them need counts as in use. */
const USERS_MAX = 200

/**
 * Returns how many bytes of a namespace, or of the whole server (`**`), only deleted or untagged manifests need.
 * Other requests get a turn in between.
 */
function deletedReader(db: Db) {
  const ofNamespace = statement(
    db,
    { namespace: text, after: number, limit: number },
    ({ namespace, after, limit }) => sql<{ id: number; bytes: number }>`
      select b.id, iif(${isDeleted(sql`(p.name = ${namespace} or p.name glob ${namespace} || '/*')`)}, b.size, 0) as bytes
      from namespace_blob n join blob b on b.id = n.blob_id
      where n.namespace = ${namespace} and n.blob_id > ${after} order by n.blob_id limit ${limit}`,
  )
  const ofServer = statement(
    db,
    { after: number, limit: number },
    ({ after, limit }) => sql<{ id: number; bytes: number }>`
      select b.id, iif(${isDeleted(sql`p.upstream is null`)}, b.size, 0) as bytes
      from blob b where not b.is_cached and b.id > ${after} order by b.id limit ${limit}`,
  )
  return async (namespace: string): Promise<Freeable> => {
    let bytes = 0
    let after = 0
    for (let looked = 0; looked < BLOBS_MAX; looked += BLOBS_READ) {
      const page = { after, limit: BLOBS_READ }
      const rows = namespace === WHOLE_SERVER ? ofServer.all(page) : ofNamespace.all({ namespace, ...page })
      for (const row of rows) bytes += row.bytes
      if (rows.length < BLOBS_READ) return { bytes, isPart: false }
      after = rows.at(-1)?.id ?? after
      await turn()
    }
    return { bytes, isPart: true }
  }
}

/** Tests whether manifests need the blob `b`, but none of them is in use. */
function isDeleted(isMeant: SQL): SQL {
  const users = (isInUse: SQL) => sql`exists (select 1 from manifest_reference r
    join manifest m on m.id = r.manifest_id join repository p on p.id = m.repository_id
    where r.digest = b.digest and ${isMeant} and ${isInUse})`
  const inUse = sql`m.deleted_at is null and m.unreferenced_at is null and p.deleted_at is null`
  const max = sql.raw(String(USERS_MAX))
  const count = sql`(select count(*) from (select 1 from manifest_reference r where r.digest = b.digest
    limit ${max} + 1))`
  return sql`(${count} <= ${max} and not ${users(inUse)} and ${users(sql`true`)})`
}
