import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { failureOf } from '../support/failure.ts'
import { open } from '../support/writes.ts'

let folder: TemporaryFolder
let path: string
beforeEach(async () => {
  folder = await temporaryFolder('migration')
  path = join(folder.path, 'cay.db')
  await copyFile(join(import.meta.dir, '../fixtures/data-0002/cay.db'), path)
})
afterEach(() => folder[Symbol.asyncDispose]())

const copies = () =>
  readdirSync(folder.path)
    .filter((name) => name.startsWith('cay.db.'))
    .sort()

/** Returns the rows and migrations in a database of two migrations. */
function look(name: string) {
  using database = new Database(join(folder.path, name), { readonly: true })
  const [manifests, applied] = ['manifest', '__drizzle_migrations'].map(
    (table) => (database.query(`select count(*) as n from ${table}`).get() as { n: number }).n,
  )
  return { manifests, applied, integrity: database.query('pragma integrity_check').values().flat() }
}

function run(...statements: string[]): void {
  const database = new Database(path)
  for (const statement of statements) database.run(statement)
  database.run('pragma wal_checkpoint(truncate)')
  database.close(true)
}

/** Makes a migration fail, because it also creates this table. */
const HINDER = 'create table "total" (name text)'

const WHOLE = { manifests: 5, applied: 2, integrity: ['ok'] }

test('migrations: the copy has the content of the database, and no other file is left', async () => {
  await Bun.write(`${path}.before-2.new`, 'as a kill leaves it')
  await (await open(folder.path)).close()
  expect(copies()).toEqual(['cay.db.before-2'])
  expect(look('cay.db.before-2')).toEqual(WHOLE)
})

test('migrations: failed starts make one copy, say what failed, and leave the database unchanged', async () => {
  run(HINDER)
  for (let n = 0; n < 3; n++) {
    expect((await failureOf(open(folder.path))).message).toMatch(
      /^cannot bring the database .*\/cay\.db from schema 2 to \d+: table .?total.? already exists \(SQLITE_ERROR\); it is unchanged/,
    )
  }
  expect(copies()).toEqual(['cay.db.before-2'])
  expect(look('cay.db')).toEqual(WHOLE)
})

test('migrations: a database that changed since its copy is copied again', async () => {
  run(HINDER)
  await failureOf(open(folder.path))
  run("update tag set updated_at = updated_at + 1 where name = 'latest'")
  for (let n = 0; n < 2; n++) await failureOf(open(folder.path))
  expect(copies()).toEqual(['cay.db.before-2', 'cay.db.before-2-2'])
})

test('migrations: an incomplete copy, left by a kill, is replaced', async () => {
  await Bun.write(`${path}.before-2`, '')
  await (await open(folder.path)).close()
  expect(copies()).toEqual(['cay.db.before-2'])
  expect(look('cay.db.before-2')).toEqual(WHOLE)
})

test('migrations: a database that cannot be vacuumed is used as it is', async () => {
  await (await open(folder.path)).close()
  run(
    'pragma auto_vacuum = none',
    'vacuum',
    'create table hindrance (name text unique collate nocase)',
    "insert into hindrance values ('a'), ('b')",
  )
  const content = await Bun.file(path).bytes()
  content.set(Buffer.from('absent'), Buffer.from(content.buffer).indexOf('nocase'))
  await Bun.write(path, content)
  const metadata = await open(folder.path)
  expect(await metadata.storage.totals()).toMatchObject({ blobs: expect.any(Number) })
  await metadata.close()
})
