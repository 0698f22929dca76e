import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/temporary-folder.ts'
import { EVERYTHING } from '../../src/domain/repository-set.ts'
import { cacheReads } from '../../src/metadata/cache/cache-reads.ts'
import { cacheWrites } from '../../src/metadata/cache/cached-content.ts'
import { evictionWrites } from '../../src/metadata/cache/eviction.ts'
import { blobUseReads } from '../../src/metadata/content/blob-uses.ts'
import { blobReads, blobWrites } from '../../src/metadata/content/blobs.ts'
import { catalogReads } from '../../src/metadata/content/catalog.ts'
import { manifestWrites } from '../../src/metadata/content/manifest-writes.ts'
import { manifestReads } from '../../src/metadata/content/manifests.ts'
import { referrerReads } from '../../src/metadata/content/referrers.ts'
import { repositoryReads } from '../../src/metadata/content/repositories.ts'
import { repositoryRestores, repositoryWrites } from '../../src/metadata/content/repository-writes.ts'
import { storageReads } from '../../src/metadata/content/storage.ts'
import { tagWrites } from '../../src/metadata/content/tag-writes.ts'
import { type TagQuery, tagReads } from '../../src/metadata/content/tags.ts'
import { usageWrites } from '../../src/metadata/content/usage.ts'
import { type Db, openForWriting } from '../../src/metadata/database.ts'
import { blobCollectionWrites } from '../../src/metadata/garbage/blob-collection.ts'
import { collectionWrites } from '../../src/metadata/garbage/collection.ts'
import { explanations } from '../../src/metadata/garbage/explanation.ts'
import { garbageReads } from '../../src/metadata/garbage/garbage.ts'
import { renewalWrites } from '../../src/metadata/garbage/renewals.ts'
import { WRITES } from '../../src/metadata/operations.ts'
import { outboxReads } from '../../src/metadata/outbox.ts'
import { historyReads } from '../../src/metadata/time-machine/history.ts'
import { manifestRestores } from '../../src/metadata/time-machine/manifest-restores.ts'
import { rewinds } from '../../src/metadata/time-machine/rewind.ts'
import { tagRestores } from '../../src/metadata/time-machine/tag-restores.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { open } from '../support/writes.ts'

const NAME = parseRepositoryName('app')
const resources = new AsyncDisposableStack()
let db: Db

beforeAll(async () => {
  const folder = resources.use(await temporaryFolder('plans'))
  await (await open(folder.path)).close()
  db = openForWriting(join(folder.path, 'cay.db'))
  resources.defer(() => db.$client.close())
  db.run("insert into repository (name, created_at) values ('app', 0)")
})
afterAll(() => resources.disposeAsync())

/** Every statement that `act` prepares. */
function statementsOf(act: (db: Db) => unknown): string[] {
  const statements: string[] = []
  const { $client } = db
  const { prepare, query } = $client
  $client.prepare = ((sql: string) => {
    statements.push(sql)
    return prepare.call($client, sql)
  }) as typeof $client.prepare
  $client.query = ((sql: string) => {
    statements.push(sql)
    return query.call($client, sql)
  }) as typeof $client.query
  try {
    act(db)
  } finally {
    Object.assign($client, { prepare, query })
  }
  return statements
}

function planOf(sql: string): string[] {
  const plan = db.$client.prepare(`explain query plan ${sql}`).all() as { detail: string }[]
  return plan.map(({ detail }) => detail)
}

/** What a push, a delete or the collector runs costs as much as what it changes, however much is stored. */
test.each([
  ['blobs', blobWrites],
  ['manifests', manifestWrites],
  ['garbage', collectionWrites],
  ['garbage of blobs and repositories', blobCollectionWrites],
  ['what a push may name', renewalWrites],
  ['deleted manifests', manifestRestores],
  ['tags', tagWrites],
  ['tags of the past', tagRestores],
  ['repositories', repositoryWrites],
  ['deleted repositories', repositoryRestores],
  ['repositories of the past', rewinds],
  ['counters', usageWrites],
  ['cached content', cacheWrites],
  ['evictions', evictionWrites],
] as [string, (db: Db) => unknown][])('no write of %s reads a whole table', (_, writes) => {
  const statements = statementsOf(writes)
  expect(statements.length).toBeGreaterThan(0)
  for (const sql of statements) {
    const scans = planOf(sql).filter((detail) => /^SCAN (?!CONSTANT)/.test(detail))
    expect([sql, scans]).toEqual([sql, []])
  }
})

test.each([
  ['what goes', garbageReads],
  ['why something stays', explanations],
] as [string, (db: Db) => unknown][])('%s is told without a look at everything', (_, reads) => {
  for (const sql of statementsOf(reads)) {
    const scans = planOf(sql).filter((detail) => /^SCAN (?!CONSTANT)|B-TREE FOR ORDER BY/.test(detail))
    expect([sql, scans]).toEqual([sql, []])
  }
})

test('a repository is found by its name among those that are not deleted', () => {
  const statements = statementsOf((db) => {
    for (const reads of [
      repositoryReads,
      manifestReads,
      tagReads,
      blobReads,
      referrerReads,
      catalogReads,
      cacheReads,
      ...WRITES,
    ])
      reads(db)
  })
  const byName = statements.filter(
    (sql) => sql.includes('"repository"."name" = ?') && !/"deleted_at" (>?=) \?/.test(sql),
  )
  expect(byName.length).toBeGreaterThan(8)
  for (const sql of byName) {
    const plan = planOf(sql).filter((detail) =>
      /^SEARCH repository USING (COVERING )?INDEX repository_name/.test(detail),
    )
    expect([sql, plan.length]).toEqual([sql, 1])
  }
})

/** A page costs as much as it has, however much is stored: rows come in the order of an index, and none is sorted. */
test('pages of the API are read in the order of an index', () => {
  const tags = (query: TagQuery) => (db: Db) => tagReads(db).search(NAME, query, 10, 0)
  const after = { name: parseTag('a'), updatedAt: 0 }
  const pages: [page: (db: Db) => unknown, plan: RegExp][] = [
    [(db) => catalogReads(db).repositories(EVERYTHING, '', 'a', 10), /INDEX repository_name \(name>/],
    [
      (db) => catalogReads(db).deletedRepositories(EVERYTHING, { windowStart: 1 }, 10),
      /INDEX repository_deleted/,
    ],
    [
      tags({ sort: 'name', order: 'desc', after }),
      /SEARCH tag USING INDEX sqlite_autoindex_tag_1 \(repository_id=\? AND name</,
    ],
    [
      tags({ sort: 'updated', order: 'asc', after }),
      /SEARCH tag USING INDEX tag_updated \(repository_id=\? AND \(updated_at,name\)>/,
    ],
    [
      tags({ sort: 'updated', order: 'desc', q: 'x' }),
      /SEARCH tag USING INDEX tag_updated \(repository_id=\?\)/,
    ],
    [
      (db) => catalogReads(db).manifests(NAME, 9, 10),
      /INDEX manifest_repository \(repository_id=\? AND rowid</,
    ],
    [
      (db) => catalogReads(db).deletedManifests(NAME, 1, 9, 10),
      /INDEX manifest_hidden \(repository_id=\? AND rowid</,
    ],
    [(db) => storageReads(db).list({ by: 'name', name: 'a' }, 10), /INDEX repository_name \(name>/],
    [
      (db) => blobUseReads(db).list(1, EVERYTHING, 5, 10),
      /SEARCH repository_blob USING INDEX sqlite_autoindex_repository_blob_1 \(blob_id=\? AND repository_id>/,
    ],
    [(db) => outboxReads(db).list({}, 9, 10), /SEARCH event USING INTEGER PRIMARY KEY \(rowid</],
    [
      (db) => outboxReads(db).list({ repository: NAME }, 9, 10),
      /SEARCH event USING INDEX event_repository \(repository=\? AND id</,
    ],
    [
      (db) => historyReads(db).ofTag(NAME, parseTag('a'), 9, 10),
      /INDEX tag_history_tag \(repository_id=\? AND name=\? AND id</,
    ],
  ]
  for (const [page, expected] of pages) {
    const plan = planOf(statementsOf(page).at(-1) ?? '')
    expect(plan.join('; ')).toMatch(expected)
    expect(plan.filter((detail) => /^SCAN|TEMP B-TREE/.test(detail))).toEqual([])
  }
  const ofRepository = statementsOf((db) => historyReads(db).ofRepository(NAME, 9, 10)).slice(-2)
  expect(ofRepository.map((sql) => planOf(sql)[0])).toEqual([
    'SEARCH tag_history USING INDEX tag_history_at (repository_id=? AND at=? AND rowid<?)',
    'SEARCH tag_history USING INDEX tag_history_at (repository_id=? AND at<?)',
  ])
})
