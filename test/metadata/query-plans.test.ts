import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/temporary-folder.ts'
import { blobCollectionWrites } from '../../src/metadata/blob-collection.ts'
import { blobWrites } from '../../src/metadata/blobs.ts'
import { collectionWrites } from '../../src/metadata/collection.ts'
import { type Db, openForWriting } from '../../src/metadata/database.ts'
import { manifestWrites } from '../../src/metadata/manifest-writes.ts'
import { renewalWrites } from '../../src/metadata/renewals.ts'
import { open } from '../support/writes.ts'

/** What a push, a delete or the collector runs costs as much as what it changes, however much is stored. */
test.each([
  ['blobs', blobWrites],
  ['manifests', manifestWrites],
  ['garbage', collectionWrites],
  ['garbage of blobs and repositories', blobCollectionWrites],
  ['what a push may name', renewalWrites],
] as [string, (db: Db) => unknown][])('no write of %s reads a whole table', async (_, writes) => {
  await using folder = await temporaryFolder('plans')
  await (await open(folder.path)).close()
  const db = openForWriting(join(folder.path, 'cay.db'))
  const statements: string[] = []
  const { $client } = db
  const prepare = $client.prepare.bind($client)
  $client.prepare = ((sql: string) => {
    statements.push(sql)
    return prepare(sql)
  }) as typeof $client.prepare
  writes(db)
  expect(statements.length).toBeGreaterThan(0)
  for (const sql of statements) {
    const plan = prepare(`explain query plan ${sql}`).all() as { detail: string }[]
    const scans = plan.map(({ detail }) => detail).filter((detail) => /^SCAN (?!CONSTANT)/.test(detail))
    expect([sql, scans]).toEqual([sql, []])
  }
  $client.close()
})
