import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { EVERYTHING } from '../../src/access/patterns.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { one, openMachine, two } from '../support/time-machine.ts'
import { turnsDuring } from '../support/turns.ts'

const REPOSITORIES = 5000

test('label search: through many repositories it finds all matches, without blocking other work', async () => {
  await using m = await openMachine()
  await m.push(one, ['1'])
  using db = new Database(join(m.folder, 'cay.db'))
  db.run(`insert into repository (name, created_at)
    with recursive n(i) as (select 1 union all select i + 1 from n where i < ${REPOSITORIES})
    select 'many/r' || printf('%05d', i), 0 from n`)
  db.run(`insert into manifest (repository_id, digest, media_type, size, pushed_at)
    select r.id, m.digest, m.media_type, m.size, 0 from repository r, manifest m where r.name like 'many/%'`)
  db.run(`insert into manifest_label (repository_id, label, manifest_id)
    select m.repository_id, label.value || m.repository_id, m.id
    from manifest m, json_each('["a=", "b=", "c="]') label where m.pushed_at = 0`)
  const last = db.query<{ id: number }, []>('select max(id) as id from repository').get()?.id
  const turns = await turnsDuring(async () => {
    const found = await m.metadata.findLabels(EVERYTHING, {
      prefix: `b=${last}`,
      limit: 10,
      now: m.clock.time,
    })
    expect(found.rows.map(({ repository, label }) => [repository, label]) as unknown).toEqual([
      [`many/r0${REPOSITORIES}`, `b=${last}`],
    ])
    expect(found.hasMore).toBe(false)
  })
  expect(turns).toBeGreaterThan(REPOSITORIES / 100)
})

test('labels: they are removed with the row of their manifest, and never return with a new manifest', async () => {
  await using m = await openMachine()
  await m.push(one, ['1'], { labels: ['env=one'] })
  await m.push(two, ['2'], { labels: ['env=two'] })
  const labels = () => m.sql<{ label: string }>('select label from manifest_label').map(({ label }) => label)
  expect(labels()).toEqual(['env=one', 'env=two'])
  await m.drop({ digest: parseDigest(two.digest) })
  await m.metadata.write('addLabels', {
    read: [{ repositoryId: 1, digest: parseDigest(two.digest), labels: ['late=yes'] }],
  })
  expect(labels()).toEqual(['env=one', 'env=two', 'late=yes'])
  using db = new Database(join(m.folder, 'cay.db'))
  db.run('pragma foreign_keys = on')
  db.run('delete from tag')
  db.run('delete from manifest_reference')
  db.run('delete from manifest')
  expect(labels()).toEqual([])
  await m.metadata.write('addLabels', {
    read: [{ repositoryId: 1, digest: parseDigest(two.digest), labels: ['gone=yes'] }],
  })
  expect(labels()).toEqual([])
})
