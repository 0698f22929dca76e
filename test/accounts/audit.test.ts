import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { copyFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { auditReads, auditWrites } from '../../src/accounts/audit-store.ts'
import { openForWriting } from '../../src/database/database.ts'
import { AT, CALLER, open } from '../support/writes.ts'

test('audit: one account acting in a loop does not displace the entries of others', async () => {
  await using folder = await temporaryFolder('audit')
  await (await open(folder.path)).close()
  const db = openForWriting(join(folder.path, 'cay.db'))
  const recordEvent = auditWrites(db, { all: 100, ofAccount: 10, trimmed: 5 })
  const act = (account: string, n: number) =>
    recordEvent({ action: 'grant.set', target: `${account}-${n}` }, { ...CALLER, account }, AT)
  act('admin', 0)
  for (let n = 0; n < 99; n++) act('mallory', n)
  const kept = () =>
    auditReads(db)
      .list(Number.MAX_SAFE_INTEGER, 1000)
      .map(({ target }) => target)
  expect(kept()).toContain('admin-0')
  expect(kept().length).toBeLessThanOrEqual(15)
  for (let n = 0; n < 100; n++) act(`user-${n}`, 0)
  expect(kept()).not.toContain('admin-0')
  db.$client.close()
})

test('audit: an upgrade names the acts of earlier versions as this one does', async () => {
  await using folder = await temporaryFolder('audit')
  const path = join(folder.path, 'cay.db')
  await copyFile(join(import.meta.dir, '../fixtures/data-0022/cay.db'), path)
  const earlier = ['user.add', 'signing-key.add', 'robot.remove', 'grant.put', 'group.change', 'cache.evict']
  {
    using database = new Database(path)
    database.run('delete from audit')
    for (const action of earlier) {
      database.run("insert into audit values (null, 0, ?, 'alice', '{}', null, null, '', '')", [action])
    }
  }
  await (await open(folder.path)).close()
  using database = new Database(path)
  expect(database.query('select action from audit order by id').values().flat()).toEqual([
    'user.create',
    'signing-key.create',
    'robot.delete',
    'grant.set',
    'group.change',
    'cache.evict',
  ])
})
