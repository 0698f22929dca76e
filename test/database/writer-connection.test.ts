import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openForWriting } from '../../src/database/database.ts'

test('database: each commit is synced, on macOS including the drive cache', async () => {
  await using folder = await temporaryFolder('database')
  const { $client } = openForWriting(join(folder.path, 'cay.db'))
  const read = (name: string) => Object.values($client.query(`pragma ${name}`).get() as object)[0]
  expect(
    ['journal_mode', 'synchronous', 'fullfsync', 'checkpoint_fullfsync', 'wal_autocheckpoint'].map(read),
  ).toEqual(['wal', 2, 1, 1, 0])
  $client.close(true)
})
