import { Database } from 'bun:sqlite'
import { SYSTEM } from '../access/access.ts'
import { databaseDamage, openForWriting } from '../database/database.ts'
import { appliedMigrations } from '../database/migrate.ts'
import { migrations } from '../database/migrations.ts'
import { versions } from '../database/operation.ts'
import { type Digest, digestFromBytes, digestToBytes, type RepositoryName } from '../oci/reference.ts'
import { operations } from '../operations.ts'

const BUSY_MILLISECONDS_MAX = 5000

/** A copy of a database, opened for reading. */
export type Snapshot = ReturnType<typeof openSnapshot>

/**
 * Copies the current state of the database, while a server may write to it. Blocks until it is done.
 *
 * @throws Error when the database's schema differs from this executable's, or the copy does not fit on the disk
 */
export function copyDatabase(path: string, target: string): void {
  using client = new Database(path, { readonly: true })
  client.run(`PRAGMA busy_timeout=${BUSY_MILLISECONDS_MAX}`)
  const schema = appliedMigrations({ $client: client })
  if (schema !== migrations.length) {
    throw new Error(
      `the database ${path} has schema ${schema}, but this cay uses schema ${migrations.length}: run the cay that ` +
        'serves it, or start this one once to upgrade it',
    )
  }
  client.query('VACUUM INTO ?').run(target)
}

/** Removes cached content from a copy: its manifests, tags, links, and the repositories that have nothing else. */
export function dropCachedContent(path: string, at: number): void {
  const db = openForWriting(path)
  try {
    const { $client } = db
    // The complete copy is synced at the end.
    $client.run('PRAGMA synchronous=OFF')
    const given = versions(db)
    const { evictRepository } = operations(db, given.ofCall)
    const lastEvent = $client.query<{ id: number | null }, []>('select max(id) as id from event').get()
    const cached = $client
      .query<{ name: string }, []>(
        'select name from repository where upstream is not null and deleted_at is null',
      )
      .all()
    for (const { name } of cached) {
      const call = { repository: name as RepositoryName, at, caller: SYSTEM }
      const evictSome = $client.transaction(() => evictRepository(call).more)
      do given.begin()
      while (evictSome())
    }
    $client.query('delete from event where id > ?').run(lastEvent?.id ?? 0)
    $client.run('PRAGMA journal_mode=DELETE')
  } finally {
    db.$client.close()
  }
}

/**
 * Opens a copy that `copyDatabase` made.
 * @throws Error when it is not a database of cay, or a newer version created it
 */
export function openSnapshot(path: string) {
  const client = new Database(path, { readonly: true })
  const schema = appliedMigrations({ $client: client })
  if (schema === 0 || schema > migrations.length) {
    client.close()
    throw new Error(
      schema === 0
        ? `${path} is not a database of cay`
        : `${path} was made by a newer cay (schema ${schema}, this one knows ${migrations.length}): use that version`,
    )
  }
  const count = (from: string) =>
    client.query<{ n: number }, []>(`select count(*) as n from ${from}`).get()?.n ?? 0
  const files = client.query<{ id: number; digest: Uint8Array; size: number }, [number, number]>(
    `select id, digest, size from blob
     where id > ? and not exists (select 1 from blob_bytes b where b.blob_id = blob.id) order by id limit ?`,
  )
  const file = client.query(
    'select 1 from blob where digest = ? and not exists (select 1 from blob_bytes b where b.blob_id = blob.id)',
  )
  return {
    /** The number of its migrations. */
    schema,

    /** Counts its content, and the bytes of all blobs. */
    counts: () => ({
      repositories: count('repository where deleted_at is null'),
      tags: count('tag'),
      manifests: count('manifest where deleted_at is null'),
      blobs: count('blob'),
      bytes: client.query<{ n: number }, []>('select total(size) as n from blob').get()?.n ?? 0,
    }),
    /** Returns at most `limit` blobs that are in files, after the one with this id. */
    files: (after: number, limit: number) =>
      files.all(after, limit).map((row) => ({ ...row, digest: digestFromBytes(Buffer.from(row.digest)) })),
    hasFile: (digest: Digest) => file.get(digestToBytes(digest)) !== null,
    /** Returns what SQLite finds wrong with its pages and indexes. */
    damage: () => databaseDamage(client),
    [Symbol.dispose]: () => client.close(),
  }
}
