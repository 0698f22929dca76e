import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { StorageCursor } from '../../src/content/store.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { type Named, named } from '../support/content.ts'
import { turnsDuring } from '../support/turns.ts'
import { link, open } from '../support/writes.ts'

type Sum = [repository: string, blobs: number, bytes: number, own: number]

const sums = async (metadata: Metadata): Promise<Sum[]> => {
  const rows = await metadata.storage.list({ by: 'name', name: '' }, 10)
  return rows.map(({ name, blobs, bytes, ownBytes }) => [name, blobs, bytes, ownBytes])
}

const blob = (bytes: number): Named => named('x'.repeat(bytes))

test('storage: a repository counts its bytes, and those that only it has', async () => {
  await using folder = await temporaryFolder('storage')
  const metadata = await open(folder.path)
  for (const bytes of [10, 200, 3000]) await metadata.write(...link('a', blob(bytes)))
  expect(await sums(metadata)).toEqual([['a', 3, 3210, 3210]])
  await metadata.write(...link('b', blob(200)))
  await metadata.write(...link('b', blob(200)))
  expect(await sums(metadata)).toEqual([
    ['a', 3, 3210, 3010],
    ['b', 1, 200, 0],
  ])
  await metadata.write(...link('c', blob(200)))
  await metadata.write(...link('c', blob(40_000)))
  expect(await sums(metadata)).toEqual([
    ['a', 3, 3210, 3010],
    ['b', 1, 200, 0],
    ['c', 2, 40_200, 40_000],
  ])
  expect(await metadata.storage.totals()).toEqual({ blobs: 4, bytes: 43_210 })
  await metadata.close()
})

test('storage: removed content is subtracted', async () => {
  await using folder = await temporaryFolder('storage')
  const metadata = await open(folder.path)
  for (const name of ['a', 'b', 'c']) {
    await metadata.write(...link(name, blob(200)))
    await metadata.write(...link(name, blob(name.charCodeAt(0))))
  }
  const db = new Database(join(folder.path, 'cay.db'))
  const unlink = (name: string) =>
    db.run(
      `delete from repository_blob where repository_id = (select id from repository where name = ?)
        and blob_id = (select id from blob where size = 200)`,
      [name],
    )
  unlink('a')
  expect(await sums(metadata)).toEqual([
    ['a', 1, 97, 97],
    ['b', 2, 298, 98],
    ['c', 2, 299, 99],
  ])
  unlink('c')
  expect((await sums(metadata))[1]).toEqual(['b', 2, 298, 298])
  unlink('b')
  db.run('delete from blob where size = 200')
  expect((await sums(metadata)).map(([, , bytes, own]) => [bytes, own])).toEqual([
    [97, 97],
    [98, 98],
    [99, 99],
  ])
  expect(await metadata.storage.totals()).toEqual({ blobs: 3, bytes: 294 })
  db.close()
  await metadata.close()
})

test('storage: repositories are listed by name or largest first, in pages', async () => {
  await using folder = await temporaryFolder('storage')
  const metadata = await open(folder.path)
  const sizes = { a: 5, b: 7, c: 5, d: 9, e: 0 }
  for (const [name, bytes] of Object.entries(sizes)) await metadata.write(...link(name, blob(bytes)))
  const seen: string[] = []
  let cursor: StorageCursor = { by: 'bytes', bytes: Number.MAX_SAFE_INTEGER, id: 0 }
  for (;;) {
    const page = await metadata.storage.list(cursor, 2)
    seen.push(...page.map(({ name }) => name))
    const last = page.at(-1)
    if (last === undefined) break
    cursor = { by: 'bytes', bytes: last.bytes, id: last.id }
  }
  expect(seen).toEqual(['d', 'b', 'a', 'c', 'e'])
  expect((await metadata.storage.list({ by: 'name', name: 'b' }, 2)).map(({ name }): string => name)).toEqual(
    ['c', 'd'],
  )
  await metadata.close()
})

test('quotas: the largest of many namespaces are found without blocking other work', async () => {
  await using folder = await temporaryFolder('storage')
  const metadata = await open(folder.path)
  using db = new Database(join(folder.path, 'cay.db'))
  db.run(`insert into namespace_usage (namespace, blob_bytes, manifest_bytes)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000)
    select 'n' || i, i * 7 % 20000, i % 2 from n union all select '**', 0, 100000`)
  let largest: string[] = []
  const turns = await turnsDuring(async () => {
    largest = await metadata.quotas.largest(3)
  })
  expect(largest).toEqual(['n2857', 'n5714', 'n8571'])
  expect(turns).toBeGreaterThan(2)
  await metadata.close()
})
