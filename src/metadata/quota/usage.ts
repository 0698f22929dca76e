import { and, asc, gt, isNull, sql } from 'drizzle-orm'
import { type Quota, type QuotaUsage, WHOLE_SERVER } from '../../domain/quota.ts'
import type { ReadTotal, WriteTotal } from '../content/totals.ts'
import type { Db } from '../database.ts'
import { deleteBy, selectBy } from '../rows.ts'
import { namespaceBlob, namespaceUsage } from '../schema/quota-schema.ts'
import { repository } from '../schema/schema.ts'
import type { Parts } from '../stale.ts'
import { number, statement } from '../statement.ts'
import { partTime } from '../writer/part-time.ts'

/** How many repositories are read at once. */
const REPOSITORIES_READ = 100

/** Whether every repository is counted. */
const ALL = Number.MAX_SAFE_INTEGER

/** Returns what a namespace holds; `**` is the whole server. */
export type ReadUsage = (namespace: string) => QuotaUsage

export function usageReader(db: Db, total: ReadTotal): ReadUsage {
  const byName = selectBy(db, namespaceUsage, 'namespace')
  return (namespace) => {
    const { blobBytes = 0, manifestBytes = 0, repositories = 0, tags = 0 } = byName.get({ namespace }) ?? {}
    // Two namespaces can have the same blob.
    const blobs = namespace === WHOLE_SERVER ? total('blob.bytes') - total('cache.bytes') : blobBytes
    return { bytes: blobs + manifestBytes, repositories, tags }
  }
}

interface CountingParts {
  counts: CountStatements
  total: ReadTotal
  write: WriteTotal
  setQuotas: (quotas: readonly Quota[]) => void
}

/** Starts and stops counting what namespaces hold, so that without a quota it costs pushes nothing. */
export function countingWrites(db: Db, { counts, total, write, setQuotas }: CountingParts) {
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
        if (counted > 0) write('quota.counted', 0)
        return
      }
      if (counted === ALL) return
      if (counted === 0) for (const clear of counts.clear) clear.run({})
      for (let isOver = partTime(); ; ) {
        const rows = local.all({ after: total('quota.counted'), limit: REPOSITORIES_READ })
        for (const { id } of rows) {
          for (const count of counts.add) count.run({ id })
          write('quota.counted', id)
          if (!isOver()) continue
          yield { stale: undefined }
          isOver = partTime()
        }
        if (rows.length === 0) return write('quota.counted', ALL)
      }
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
  const run = (build: (id: unknown) => ReturnType<typeof sql>) =>
    statement(db, { id: number }, ({ id }) => build(id))
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
