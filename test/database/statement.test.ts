import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { eq, sql } from 'drizzle-orm'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { type Db, openForWriting } from '../../src/database/database.ts'
import { convertedManifest, repository, tag, total } from '../../src/database/schema.ts'
import {
  deleteBy,
  insertForId,
  number,
  optional,
  pageBy,
  putInto,
  selectBy,
  statement,
  text,
  updateBy,
} from '../../src/database/statement.ts'
import { open } from '../support/writes.ts'

const resources = new AsyncDisposableStack()
afterAll(() => resources.disposeAsync())

async function database(): Promise<Db> {
  const folder = resources.use(await temporaryFolder('statements'))
  await (await open(folder.path)).close()
  const db = openForWriting(join(folder.path, 'cay.db'))
  resources.defer(() => db.$client.close())
  return db
}

const findTag = (db: Db) =>
  statement(db, { id: number, name: optional(text) }, ({ id, name }) =>
    db
      .select({ name: tag.name })
      .from(tag)
      .where(sql`${eq(tag.repositoryId, id)} and ${tag.name} is ${name}`),
  )

type Takes<T> = T extends Parameters<ReturnType<typeof findTag>['get']>[0] ? true : false

// These fail to compile if a statement accepts the wrong parameters.
const takesItsParameters: Takes<{ id: number; name: string }> = true
const takesNull: Takes<{ id: number; name: null }> = true
const takesAnotherName: Takes<{ id: number; nmae: string }> = false
const takesAnotherType: Takes<{ id: string; name: string }> = false
const takesUndefined: Takes<{ id: number; name: undefined }> = false

test('statements: parameters have the declared names and types', async () => {
  expect([takesItsParameters, takesNull, takesAnotherName, takesAnotherType, takesUndefined]).toEqual([
    true,
    true,
    false,
    false,
    false,
  ])
  const found: { name: string } | undefined = findTag(await database()).get({ id: 1, name: 'latest' })
  expect(found).toBeUndefined()
})

test('statements: raw SQL returns rows of the declared type', async () => {
  const sum = statement(
    await database(),
    { a: number, b: number },
    ({ a, b }) => sql<{ sum: number }>`
    select ${a} + ${b} as sum`,
  )
  expect(sum.all({ a: 1, b: 2 })).toEqual([{ sum: 3 }])
})

test('statements: each is prepared only when it is first run', async () => {
  const wrong = statement(await database(), {}, () => sql<object>`select no_such_column`)
  expect(() => wrong.get({})).toThrow('no such column')
})

test('statements: those on the rows of a table are made once, and omitted columns have their default', async () => {
  const db = await database()
  expect(selectBy(db, repository, 'name')).toBe(selectBy(db, repository, 'name'))
  const { id } = insertForId(db, repository).get({ name: 'app', createdAt: 1 })
  updateBy(db, repository, ['immutablePatterns', 'immutableTags'], 'id').run({
    id,
    immutablePatterns: ['v*'],
    immutableTags: true,
  })
  expect(selectBy(db, repository, 'name').all({ name: 'app' })).toMatchObject([
    { id, createdAt: 1, deletedAt: null, description: '', immutablePatterns: ['v*'], immutableTags: true },
  ])
  deleteBy(db, repository, 'id', 'name').run({ id, name: 'app' })
  expect(selectBy(db, repository, 'id').get({ id })).toBeUndefined()
})

test('statements: a put replaces the row of its key, and a page begins after the last row', async () => {
  const db = await database()
  const put = putInto(db, convertedManifest)
  const page = pageBy(db, total, ['name', 'desc'])
  for (const value of [1, 2]) putInto(db, total).run({ name: 'zz', value })
  expect(page.all({ last: 'zzz', limit: 1 })).toEqual([{ name: 'zz', value: 2 }])
  expect(page.all({ last: 'zz', limit: 100 }).map(({ name }) => name)).not.toContain('zz')
  expect(put.text()).toContain('do update set "manifest_id" = excluded."manifest_id", "tag" = excluded."tag"')
})
