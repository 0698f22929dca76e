import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { EVERYTHING } from '../../src/access/patterns.ts'
import { one, openMachine } from '../support/time-machine.ts'
import { turnsDuring } from '../support/turns.ts'

const REPOSITORIES = 10_000

test('tag prefix search: through many repositories it finds all matches, without blocking other work', async () => {
  await using m = await openMachine()
  await m.push(one, ['other'])
  using db = new Database(join(m.folder, 'cay.db'))
  db.run(`insert into repository (name, created_at)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${REPOSITORIES})
    select 'many/r' || printf('%05d', i), 0 from n`)
  db.run(`insert into tag (repository_id, name, manifest_id, digest, updated_at)
    select r.id, 'v' || r.id || '.' || suffix.value, t.manifest_id, t.digest, 0
    from repository r, tag t, json_each('["0", "1", "2"]') suffix
    where r.name like 'many/%' and t.name = 'other'`)
  const last = db.query<{ id: number }, []>('select max(id) as id from repository').get()?.id
  const wanted = { prefix: `v${last}.1`, within: '', limit: 10, now: m.clock.time }
  const turns = await turnsDuring(async () => {
    const { rows, hasMore } = await m.metadata.findTags(EVERYTHING, wanted)
    expect(rows.map(({ repository, tag }) => [repository, tag]) as unknown).toEqual([
      [`many/r${REPOSITORIES}`, `v${last}.1`],
    ])
    expect(hasMore).toBe(false)
  })
  expect(turns).toBeGreaterThan(2)
})
