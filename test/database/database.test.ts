import { Database } from 'bun:sqlite'
import { describe, expect, test } from 'bun:test'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { lockFolder } from '../../src/database/database.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { link, open, put } from '../support/writes.ts'

const repository = parseRepositoryName('a')

/** Returns the schema of a database and its applied migrations. */
function contentOf(path: string): unknown[] {
  using database = new Database(path, { readonly: true })
  const schema = database.query('select name, sql from sqlite_master order by name').all()
  return [...schema, ...database.query('select * from __drizzle_migrations').all()]
}

describe('a database', () => {
  test('is complete in one file after it is closed', async () => {
    await using folder = await temporaryFolder('database')
    const first = await open(folder.path)
    await first.write(...link('a', EMPTY))
    await first.write(...put('a', imageManifest(EMPTY, []), ['t']))
    await first.close()
    await using copy = await temporaryFolder('database')
    await copyFile(join(folder.path, 'cay.db'), join(copy.path, 'cay.db'))
    const again = await open(copy.path)
    const tags = await again.tags.list(repository, '', 10, Date.now())
    expect(tags as string[] | undefined).toEqual(['t'])
    await again.close()
  })

  test('of a newer version is refused unchanged, and the error says what to do', async () => {
    await using folder = await temporaryFolder('database')
    await (await open(folder.path)).close()
    const path = join(folder.path, 'cay.db')
    const db = new Database(path)
    db.run("insert into __drizzle_migrations (hash, created_at) values ('of a later version', 9e15)")
    db.close()
    const before = contentOf(path)
    const { message } = await failureOf(open(folder.path))
    expect(message).toMatch(
      /cay\.db was made by a newer cay \(schema \d+, this one knows \d+\): run that version/,
    )
    expect(contentOf(path)).toEqual(before)
  })

  test('that is not a database is refused', async () => {
    await using folder = await temporaryFolder('database')
    await Bun.write(join(folder.path, 'cay.db'), 'this is no database, but a text of some length'.repeat(50))
    expect((await failureOf(open(folder.path))).message).toContain('not a database')
  })

  test('closes after the waiting writes', async () => {
    await using folder = await temporaryFolder('database')
    const metadata = await open(folder.path)
    const writes = Array.from({ length: 500 }, (_, n) => metadata.write(...link(`r${n}`, EMPTY)))
    await metadata.close()
    await Promise.all(writes)
    const db = new Database(join(folder.path, 'cay.db'), { readonly: true })
    expect(db.query('select count(*) as n from repository').get()).toEqual({ n: 500 })
    db.close()
  })
})

test('data folder: one server locks it until it closes', async () => {
  await using folder = await temporaryFolder('lock')
  const unlock = lockFolder(folder.path, 'data')
  expect(() => lockFolder(folder.path, 'data')).toThrow(
    `another cay serves ${folder.path}: stop it, or choose another folder with --data`,
  )
  unlock()
  lockFolder(folder.path, 'data')()
})
