import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import fc from 'fast-check'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { EVERYTHING, type RepositorySet } from '../../src/access/patterns.ts'
import { Rules } from '../../src/accounts/rules.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import type { TagQuery, TagRow } from '../../src/registry/store.ts'
import { EMPTY, imageManifest, type Named, randomBlob } from '../support/content.ts'
import { AT, CALLER, link, open, put, remove } from '../support/writes.ts'

const REPOSITORIES: Record<string, string> = {
  'alice/web': 'The shop’s front: 日本語 and "quoted" text',
  'alice/api': 'What the SHOP asks, 100%_sure',
  'bob/web-assets': '',
  'tools/zip': "O'Brien's packer: a* OR b NEAR(c d) -x col:y ^z",
  ab: '日本',
}

const resources = new AsyncDisposableStack()
let metadata: Metadata

beforeAll(async () => {
  const folder = resources.use(await temporaryFolder('catalog'))
  metadata = await open(folder.path)
  resources.defer(() => metadata.close())
  for (const [name, description] of Object.entries(REPOSITORIES)) {
    await metadata.write('putRepository', {
      caller: CALLER,
      at: AT,
      repository: parseRepositoryName(name),
      description,
    })
  }
})
afterAll(() => resources.disposeAsync())

describe('repositories', () => {
  const search = async (q: string, pullable = EVERYTHING) =>
    (await metadata.catalog.repositories(pullable, q, '', 100)).rows.map(({ name }) => name as string)
  const NAMES = Object.keys(REPOSITORIES).sort()

  test.each([
    ['', NAMES],
    ['web', ['alice/web', 'bob/web-assets']],
    ['ALICE', ['alice/api', 'alice/web']],
    ['shop', ['alice/api', 'alice/web']],
    ['we', ['alice/web', 'bob/web-assets']],
    ['日本', ['ab', 'alice/web']],
    ['日本語', ['alice/web']],
    ['"quoted"', ['alice/web']],
    ['"', ['alice/web']],
    ['%', ['alice/api']],
    ['%_', ['alice/api']],
    ['_s', ['alice/api']],
    ["O'Brien's", ['tools/zip']],
    ['a* OR b', ['tools/zip']],
    ['NEAR(', ['tools/zip']],
    ['col:y', ['tools/zip']],
    ['^z', ['tools/zip']],
    ['web OR api', []],
    ['web" OR "api', []],
    ['\0\0\0', []],
    ['no such thing', []],
  ])('a search for %j finds exactly those that contain this text', async (q, names) => {
    expect(await search(q)).toEqual(names)
  })

  test('a search for any text succeeds', async () => {
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: 'binary', maxLength: 40 }), async (q) =>
        (await search(q)).every((name) => NAMES.includes(name)),
      ),
    )
  })

  test('a search finds only those that the caller may pull from', async () => {
    const ofAlice = new Rules([{ pattern: 'alice/*', role: 'reader' }]).repositories('pull')
    expect(await search('web', ofAlice)).toEqual(['alice/web'])
    expect(await search('', new Rules().repositories('pull'))).toEqual([])
  })

  test('are listed in pages', async () => {
    const seen: string[] = []
    for (let last: string | undefined = ''; last !== undefined; ) {
      const page: Awaited<ReturnType<typeof metadata.catalog.repositories>> =
        await metadata.catalog.repositories(EVERYTHING, '', last, 2)
      seen.push(...page.rows.map(({ name }) => name))
      last = page.next
    }
    expect(seen).toEqual(NAMES)
  })

  test('a put replaces all settings, a change some, and both only if the version is the expected one', async () => {
    const repository = parseRepositoryName('settings')
    const call = { caller: CALLER, at: AT, repository }
    const isNone = { condition: { ifNoneMatch: ['*'] } }
    const { isNew } = await metadata.write('putRepository', { ...call, ...isNone, untaggedDays: 7 })
    expect(isNew).toBeTrue()
    const find = () => metadata.catalog.findRepository(repository)
    const isAsNow = async () => ({ condition: { ifMatch: [String((await find())?.version)] } })
    const before = await isAsNow()
    await metadata.write('changeRepository', { ...call, change: { immutableTags: true, description: 'x' } })
    expect(await find()).toMatchObject({ description: 'x', untaggedDays: 7, immutableTags: true })
    for (const expected of [isNone, before]) {
      const change = { immutableTags: false }
      const calls = [
        metadata.write('changeRepository', { ...call, change, ...expected }),
        metadata.write('deleteRepository', { ...call, ...expected }),
        metadata.write('putRepository', { ...call, ...expected }),
      ]
      for (const settled of await Promise.allSettled(calls))
        expect(settled).toMatchObject({ status: 'rejected', reason: { status: 412 } })
    }
    await metadata.write('putRepository', { ...call, ...(await isAsNow()) })
    expect(await find()).toMatchObject({ description: '', untaggedDays: null, immutableTags: false })
    await metadata.write('deleteRepository', { ...call, ...(await isAsNow()) })
    expect(await find()).toBeUndefined()
  })
})

describe('tags', () => {
  const name = parseRepositoryName('tagged')
  const manifests = ['1', '2'].map((n) => imageManifest(EMPTY, [], { annotations: { n } })) as [Named, Named]
  // Some have the same time, and the order by time differs from that by name.
  const TAGS = Array.from({ length: 12 }, (_, n) => ({
    name: `${n % 2 ? 'Release' : 'v'}-${n}`,
    at: AT + ((n * 7) % 4) * 1000,
  }))

  beforeAll(async () => {
    await metadata.write(...link('tagged', EMPTY))
    for (const tag of TAGS) {
      const [write, call] = put('tagged', manifests[0], [tag.name])
      await metadata.write(write, { ...call, at: tag.at })
    }
    const [write, call] = put('tagged', manifests[1], ['over'])
    await metadata.write(write, { ...call, expiresAfterSeconds: 1 })
  })
  const pages = async (query: Omit<TagQuery, 'after'>, limit: number) => {
    const seen: TagRow[] = []
    for (;;) {
      const page =
        (await metadata.tags.search(name, { ...query, after: seen.at(-1) }, limit, AT + 5000)) ?? []
      seen.push(...page)
      if (page.length < limit) return seen.map((tag) => tag.name as string)
    }
  }
  const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1)
  const sorted = {
    name: [...TAGS].sort(byName),
    updated: [...TAGS].sort((a, b) => a.at - b.at || byName(a, b)),
  }

  test.each([1, 5, 100])(
    'are sorted by name or time, in either direction, in pages of %i, without expired ones',
    async (limit) => {
      for (const sort of ['name', 'updated'] as const) {
        const expected = sorted[sort].map((tag) => tag.name)
        expect(await pages({ sort, order: 'asc' }, limit)).toEqual(expected)
        expect(await pages({ sort, order: 'desc' }, limit)).toEqual(expected.reverse())
        const releases = expected.filter((tag) => tag.startsWith('Release'))
        expect(await pages({ sort, order: 'desc', q: 'release-' }, limit)).toEqual(releases)
      }
      expect(await pages({ sort: 'name', order: 'asc', q: '%' }, limit)).toEqual([])
    },
  )

  test('include what they point at', async () => {
    const tag = await metadata.tags.find(name, parseTag('v-0'), AT)
    expect(tag).toMatchObject({
      name: 'v-0',
      digest: manifests[0].digest,
      storedAs: manifests[0].digest,
      size: manifests[0].bytes.length,
      updatedAt: AT,
    })
    const { id } = metadata.manifests.find(name, { tag: parseTag('v-0') }, AT)!
    expect(await metadata.tags.ofManifest(id, 'v', 2, AT)).toEqual(['v-0', 'v-10'] as never)
    expect(await metadata.tags.find(name, parseTag('over'), AT + 1000)).toBeUndefined()
    expect(
      await metadata.tags.search(parseRepositoryName('unknown'), { sort: 'name', order: 'asc' }, 9, AT),
    ).toBeUndefined()
  })

  test('repositories: content is counted, and deleted manifests are listed separately', async () => {
    const layer = randomBlob(1000)
    const hidden = imageManifest(EMPTY, [layer])
    await metadata.write(...link('tagged', layer))
    await metadata.write(...put('tagged', hidden, []))
    await metadata.write(...remove('tagged', { digest: parseDigest(hidden.digest) }))
    const row = (await metadata.catalog.findRepository(name))!
    const { id, blobCount, blobBytes, ownBytes } = row
    expect({ blobCount, blobBytes, ownBytes }).toEqual({ blobCount: 2, blobBytes: 1002, ownBytes: 1002 })
    expect((await metadata.catalog.countTags([row], AT + 5000)).get(id)).toBe(TAGS.length)
    expect(row).toMatchObject({
      manifestCount: 2,
      manifestBytes: manifests[0].bytes.length + manifests[1].bytes.length,
    })
    const listed = (await metadata.catalog.manifests(name, Number.MAX_SAFE_INTEGER, 10)) ?? []
    expect(listed.map(({ digest }) => digest as string)).toEqual([manifests[1].digest, manifests[0].digest])
    expect(await metadata.catalog.manifests(name, listed[0]?.id ?? 0, 10)).toMatchObject([
      { digest: manifests[0].digest },
    ])
    const deleted = await metadata.catalog.deletedManifests(name, AT, Number.MAX_SAFE_INTEGER, 10)
    expect(deleted).toMatchObject([{ digest: hidden.digest, deletedAt: AT }])
    expect(await metadata.catalog.deletedManifests(name, AT + 1, Number.MAX_SAFE_INTEGER, 10)).toEqual([])
  })
})

describe('many repositories', () => {
  const COUNT = 5000
  let many: Metadata
  beforeAll(async () => {
    const folder = resources.use(await temporaryFolder('many'))
    many = await open(folder.path)
    resources.defer(() => many.close())
    using db = new Database(join(folder.path, 'cay.db'))
    db.run(`insert into repository (name, created_at, description, blob_bytes)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${COUNT})
      select 'crowd/r' || substr('0000' || i, -5), 0, iif(i % 1000 = 7, 'needle', ''), i from n`)
    db.run("insert into repository (name, created_at) values ('own/crowd', 0)")
  })

  /** Returns what a read returns, and how many turns other requests got meanwhile. */
  async function turnsBeside<T>(read: Promise<T>): Promise<{ result: T; turns: number }> {
    let [turns, isDone] = [0, false]
    const done = read.finally(() => {
      isDone = true
    })
    for (; !isDone; turns++) await new Promise((resolve) => setImmediate(resolve))
    return { result: await done, turns }
  }
  const search = async (q: string, limit: number, set: RepositorySet = EVERYTHING, last = '') => {
    const { rows, next } = await many.catalog.repositories(set, q, last, limit)
    return { names: rows.map(({ name }) => name as string), next }
  }
  const own = new Rules([{ pattern: 'own/*', role: 'reader' }]).repositories('pull')

  test('a search that looks at all of them lets other requests go first', async () => {
    const { result, turns } = await turnsBeside(search('qq', 10))
    expect([result, turns > 1]).toEqual([{ names: [], next: undefined }, true])
  })

  test('a search for a text that most names have fills a page with what the caller may see', async () => {
    expect(await search('crowd', 2)).toMatchObject({ names: ['crowd/r00001', 'crowd/r00002'] })
    expect(await search('crowd', 2, EVERYTHING, `crowd/r0${COUNT}`)).toMatchObject({ names: ['own/crowd'] })
    expect(await search('crowd', 2, own)).toEqual({ names: ['own/crowd'], next: undefined })
  })

  test('a search for a text that few names have continues from page to page', async () => {
    for (const q of ['needle', 'ed']) {
      const first = await search(q, 3)
      expect(first.names).toEqual(['crowd/r00007', 'crowd/r01007', 'crowd/r02007'])
      expect((await search(q, 3, EVERYTHING, first.next)).names).toEqual(['crowd/r03007', 'crowd/r04007'])
    }
  })

  test('the list of the largest ones lets other requests go first', async () => {
    const { result, turns } = await turnsBeside(
      many.storage.list({ by: 'bytes', bytes: COUNT - 10, id: 0 }, 2),
    )
    expect([result.map(({ bytes }) => bytes), turns > 1]).toEqual([[COUNT - 10, COUNT - 11], true])
  })
})
