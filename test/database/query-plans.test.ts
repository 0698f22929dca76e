import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { EVERYTHING } from '../../src/access/patterns.ts'
import { reads } from '../../src/app/metadata.ts'
import { type Db, openForWriting } from '../../src/database/database.ts'
import { garbageReads } from '../../src/garbage/candidates.ts'
import { explanations } from '../../src/garbage/explanation.ts'
import { digestRange, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { operations } from '../../src/operations.ts'
import type { TagQuery } from '../../src/registry/store.ts'
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
  db.run("insert into event (at, type, repository, address, request_id) values (0, 'tag.put', 'app', '', '')")
})
afterAll(() => resources.disposeAsync())

const writes = (db: Db) => operations(db, () => 0)

/** Returns every statement that `make` makes, prepared or not. */
function statementsOf(make: (db: Db) => unknown): string[] {
  db.statements.clear()
  make(db)
  return [...db.statements.values()].map((statement) => statement.text())
}

/** Returns every statement that `act` prepares. */
function preparedBy(act: () => unknown): string[] {
  const prepared: string[] = []
  const { $client } = db
  const { prepare } = $client
  $client.prepare = ((sql: string) => {
    prepared.push(sql)
    return prepare.call($client, sql)
  }) as typeof $client.prepare
  try {
    act()
  } finally {
    Object.assign($client, { prepare })
  }
  return prepared
}

function planOf(sql: string): string[] {
  const plan = db.$client.prepare(`explain query plan ${sql}`).all() as { detail: string }[]
  // Each parameter is a subquery (see keepPlan), or a list that `json_each` reads. Its plan names the list by its alias.
  const lists = [...sql.matchAll(/json_each\([^()]*(?:\([^()]*\))?[^()]*\) ?(n\b)?/g)].map(
    ([, alias]) => alias ?? 'json_each',
  )
  const isList = (detail: string) => lists.some((name) => detail.startsWith(`SCAN ${name} VIRTUAL TABLE`))
  return plan
    .map(({ detail }) => detail)
    .filter((detail) => !/^(SCALAR|REUSE|SCAN CONSTANT)/.test(detail) && !isList(detail))
}

/**
 * What rare writes may scan: accounts up to the first administrator, credentials when expired ones are removed, grants
 * when an account or a group is deleted, damaged content when more of it is found, and tables with few rows.
 */
const SCANNED = /^SCAN (account|credential|access_grant|damaged_content|signing_key|cache_pin)( |$)/

/** A push, a delete or garbage collection must cost as much as it changes, however much is stored. */
test('query plans: no write scans a whole table', () => {
  const statements = statementsOf(writes)
  expect(statements.length).toBeGreaterThan(70)
  for (const sql of statements) {
    const scans = planOf(sql).filter((detail) => /^SCAN/.test(detail) && !SCANNED.test(detail))
    expect([sql, scans]).toEqual([sql, []])
  }
})

test('query plans: every statement of the writer and of the reads is made once', () => {
  for (const make of [writes, reads]) {
    const statements = statementsOf(make)
    expect(statements.filter((sql, at) => statements.indexOf(sql) !== at)).toEqual([])
  }
})

test.each([
  ['content that will be collected', garbageReads],
  ['why something stays', explanations],
] as [string, (db: Db) => unknown][])('%s is found without scanning everything', (_, reads) => {
  for (const sql of statementsOf(reads)) {
    const scans = planOf(sql).filter((detail) => /^SCAN|B-TREE FOR ORDER BY/.test(detail))
    expect([sql, scans]).toEqual([sql, []])
  }
})

test('query plans: a repository is looked up by name only among those that are not deleted', () => {
  const statements = [...statementsOf(writes), ...statementsOf(reads)]
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

/** A page must cost as much as it contains: rows are read in the order of an index and never sorted. */
test('query plans: pages of the API are read in the order of an index', () => {
  const { repositories, catalog, storage, blobUses, outbox, history, ...others } = reads(db)
  const tags = (query: TagQuery) => () => others.tags.search(NAME, query, 10, 0)
  const after = { name: parseTag('a'), updatedAt: 0 }
  const pages: [page: () => unknown, plan: RegExp][] = [
    [() => repositories.list(EVERYTHING, 'a', 10), /INDEX repository_name \(name>/],
    [() => catalog.deletedRepositories(EVERYTHING, { windowStart: 1 }, 10), /INDEX repository_deleted/],
    [
      tags({ sort: 'name', order: 'desc', after }),
      /SEARCH tag USING INDEX sqlite_autoindex_tag_1 \(repository_id=\? AND name>\? AND name<\?\)/,
    ],
    [
      tags({ sort: 'updated', order: 'asc', after }),
      /SEARCH tag USING INDEX tag_updated \(repository_id=\? AND \(updated_at,name\)>\(\?,\?\) AND \(updated_at,name\)<\(\?,\?\)\)/,
    ],
    [
      tags({ sort: 'updated', order: 'desc', q: 'x' }),
      /SEARCH tag USING INDEX tag_updated \(repository_id=\? AND \(updated_at,name\)>\(\?,\?\) AND \(updated_at,name\)<\(\?,\?\)\)/,
    ],
    [() => catalog.manifests(NAME, 9, 10), /INDEX manifest_repository \(repository_id=\? AND rowid</],
    [() => catalog.deletedManifests(NAME, 1, 9, 10), /INDEX manifest_hidden \(repository_id=\? AND rowid</],
    [() => storage.list({ by: 'name', name: 'a' }, 10), /INDEX repository_name \(name>/],
    [
      () => blobUses.list(1, EVERYTHING, 5, 10),
      /SEARCH repository_blob USING INDEX repository_blob_of \(blob_id=\? AND repository_id>/,
    ],
    [() => outbox.list({}, 9, 10), /SEARCH event USING INTEGER PRIMARY KEY \(rowid>\? AND rowid</],
    [
      () => history.ofTag(NAME, parseTag('a'), 9, 10),
      /INDEX tag_history_tag \(repository_id=\? AND name=\? AND id</,
    ],
  ]
  for (const [page, expected] of pages) {
    const plan = planOf(preparedBy(page).at(-1) ?? '')
    expect(plan.join('; ')).toMatch(expected)
    expect(plan.filter((detail) => /^SCAN|TEMP B-TREE/.test(detail))).toEqual([])
  }
  const plansOf = (page: () => unknown) => preparedBy(page).map((sql) => planOf(sql)[0])
  expect(plansOf(() => catalog.repositories(EVERYTHING, 'x', 'a', 10))).toEqual([
    'SEARCH repository USING INDEX repository_name (name>?)',
  ])
  expect(plansOf(() => catalog.repositories(EVERYTHING, '', 'a', 10))).toEqual([
    'SEARCH repository USING INTEGER PRIMARY KEY (rowid=?)',
  ])
  const range = digestRange('sha256:000000')
  expect(plansOf(() => others.findManifests(EVERYTHING, range, 10))).toEqual([
    'SEARCH m USING INDEX manifest_digest_unique ((digest,repository_id)>(?,?) AND digest<?)',
  ])
  const found = preparedBy(() => others.findTags(EVERYTHING, { prefix: 'a', within: '', limit: 10, now: 0 }))
  expect(planOf(found[0] ?? '').join('; ')).toMatch(
    /INDEX repository_name \(name>\?\).*SEARCH tag USING .*\(repository_id=\? AND name>\? AND name<\?\)/,
  )
  const ofRepository = preparedBy(() => history.ofRepository(NAME, 9, 10)).slice(-2)
  expect(ofRepository.map((sql) => planOf(sql)[0])).toEqual([
    'SEARCH tag_history USING INDEX tag_history_at (repository_id=? AND at=? AND rowid<?)',
    'SEARCH tag_history USING INDEX tag_history_at (repository_id=? AND at<?)',
  ])
})
