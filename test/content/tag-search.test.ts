import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { APP, one, openMachine } from '../support/time-machine.ts'
import { turnsDuring } from '../support/turns.ts'

const MANY = 20_000
const SEARCHED = ['v19999', 'v9999']

test('tag search: a search through many tags finds all matches in order, without blocking other work', async () => {
  await using m = await openMachine()
  await m.push(one, ['first'])
  using db = new Database(join(m.folder, 'cay.db'))
  db.run(`insert into tag (repository_id, name, manifest_id, digest, updated_at)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${MANY})
    select repository_id, 'v' || i, manifest_id, digest, updated_at + i from n join tag on name = 'first'`)
  const search = async (sort: 'name' | 'updated', order: 'asc' | 'desc', limit: number) => {
    const found = await m.metadata.tags.search(APP, { q: '9999', sort, order }, limit, m.clock.time)
    return found?.map(({ name }) => name as string)
  }
  expect(await search('name', 'asc', 10)).toEqual(SEARCHED)
  expect(await search('name', 'desc', 10)).toEqual(SEARCHED.toReversed())
  expect(await search('updated', 'asc', 10)).toEqual(SEARCHED.toReversed())
  expect(await search('updated', 'desc', 1)).toEqual(SEARCHED.slice(0, 1))
  const turns = await turnsDuring(async () => {
    const query = { q: 'none', sort: 'name', order: 'asc' } as const
    expect(await m.metadata.tags.search(APP, query, 10, m.clock.time)).toEqual([])
  })
  expect(turns).toBeGreaterThan(2)
})
