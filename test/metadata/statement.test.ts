import { afterAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { eq, sql } from 'drizzle-orm'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { type Db, openForWriting } from '../../src/metadata/database.ts'
import { tag } from '../../src/metadata/schema/schema.ts'
import { number, optional, statement, text } from '../../src/metadata/statement.ts'
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
