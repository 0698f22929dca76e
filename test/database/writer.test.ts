import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { EMPTY, imageManifest, named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { AT, CALLER, link, open, put, remove } from '../support/writes.ts'

const manifest = imageManifest(EMPTY, [])
const broken = imageManifest(named('not here'), [])

describe('the writer', () => {
  const resources = new AsyncDisposableStack()
  let metadata: Metadata
  let db: Database
  beforeAll(async () => {
    const folder = resources.use(await temporaryFolder('metadata'))
    metadata = await open(folder.path)
    resources.defer(() => metadata.close())
    db = resources.use(new Database(join(folder.path, 'cay.db'), { readonly: true }))
  })
  afterAll(() => resources.disposeAsync())
  const rows = (sql: string, ...values: string[]) => db.query(sql).all(...values) as Record<string, unknown>[]
  const tagsOf = (name: string) => metadata.tags.list(parseRepositoryName(name), '', 1000, AT)

  test('runs calls in order, and a failed call leaves no trace and does not affect others', async () => {
    await metadata.write(...link('group', EMPTY))
    const calls = Array.from({ length: 300 }, (_, n) =>
      n % 3 === 1
        ? metadata.write(...put(`new-${n}`, broken, [`t${n}`]))
        : metadata.write(...put('group', manifest, [`t${n}`])),
    )
    const settled = await Promise.allSettled(calls)
    expect(settled.map(({ status }) => status === 'rejected')).toEqual(settled.map((_, n) => n % 3 === 1))
    expect((await tagsOf('group'))?.length).toBe(200)
    expect(rows("select name from repository where name like 'new-%'")).toEqual([])
    expect(rows("select id from event where repository like 'new-%'")).toEqual([])
    expect(rows('select id from manifest where digest = unhex(?)', broken.digest.slice(7))).toEqual([])
  })

  test('groups waiting calls into one commit', async () => {
    const frames = () => rows('pragma wal_checkpoint(noop)')[0]?.log as number
    const before = frames()
    for (let n = 0; n < 20; n++) await metadata.write(...link('alone', randomBlob(1 + n)))
    const alone = frames() - before
    await Promise.all(
      Array.from({ length: 20 }, (_, n) => metadata.write(...link('together', randomBlob(100 + n)))),
    )
    const together = frames() - before - alone
    expect(alone).toBeGreaterThan(0)
    expect(together).toBeLessThan(alone / 2)
  })

  test('refuses calls beyond the byte limit of its queue, and accepts them once there is room', async () => {
    const bytes = new Uint8Array(64 * 1024)
    const push = (n: number) => {
      const blob = named(`waiting ${n}`)
      const [name, call] = link('waiting', blob)
      return metadata.write(name, { ...call, bytes })
    }
    const settled = await Promise.allSettled(Array.from({ length: 1100 }, (_, n) => push(n)))
    const refused = settled.filter(({ status }) => status === 'rejected')
    expect(refused.length).toBe(1100 - 1024)
    expect(refused[0]).toMatchObject({ reason: { status: 429, headers: { 'retry-after': '1' } } })
    await push(1100)
  })

  test('rejects with a RegistryError that has its status, entries and detail', async () => {
    const failure = await failureOf(metadata.write(...put('group', broken, [])))
    expect(failure).toMatchObject({ name: 'RegistryError', status: 400 })
    expect(failure).toMatchObject({
      entries: [{ code: 'MANIFEST_BLOB_UNKNOWN', detail: { digest: named('not here').digest } }],
    })
    expect((await failureOf(metadata.write(...remove('nobody', { tag: 'x' })))).status).toBe(404)
  })

  test('records the account in the history and the outbox, and nothing if nothing changed', async () => {
    const bob = { account: undefined, credential: undefined, address: '::1', requestId: 'r-2' }
    await metadata.write(...link('told', EMPTY))
    await metadata.write(...put('told', manifest, ['a']))
    await metadata.write(...put('told', manifest, ['a'], bob))
    await metadata.write(...remove('told', { tag: 'a' }, bob))
    await metadata.write(...put('told', manifest, ['b', 'c']))
    await metadata.write(...remove('told', { digest: parseDigest(manifest.digest) }, bob))
    const who = 'account, credential, address, request_id as requestId'
    const alice = { ...CALLER }
    const nobody = { ...bob, account: null, credential: null }
    const digest = manifest.digest.slice(7)
    const history = rows(
      `select h.name, lower(hex(h.digest)) as digest, h.at, ${who} from tag_history h
       join repository r on r.id = h.repository_id where r.name = ? order by h.id`,
      'told',
    )
    expect(history).toEqual([
      { name: 'a', digest, at: AT, ...alice },
      { name: 'a', digest: '', at: AT, ...nobody },
      { name: 'b', digest, at: AT, ...alice },
      { name: 'c', digest, at: AT, ...alice },
      { name: 'b', digest: '', at: AT, ...nobody },
      { name: 'c', digest: '', at: AT, ...nobody },
    ])
    const events = rows(`select type, tag, ${who} from event where repository = ? order by id`, 'told')
    expect(events).toEqual([
      { type: 'blob.push', tag: null, ...alice },
      { type: 'manifest.push', tag: 'a', ...alice },
      { type: 'manifest.push', tag: 'a', ...nobody },
      { type: 'tag.delete', tag: 'a', ...nobody },
      { type: 'manifest.push', tag: 'b', ...alice },
      { type: 'manifest.push', tag: 'c', ...alice },
      { type: 'manifest.delete', tag: null, ...nobody },
    ])
  })

  test('reports replaced content before the write returns, and only if something was replaced', async () => {
    const other = imageManifest(EMPTY, [], { annotations: { n: 'other' } })
    let replaced = 0
    metadata.onStale('content', () => {
      replaced++
    })
    const count = async (write: Promise<unknown>) => {
      const before = replaced
      await write
      return replaced - before
    }
    await metadata.write(...link('cache', EMPTY))
    expect(await count(metadata.write(...put('cache', manifest, ['t'])))).toBe(0)
    expect(await count(metadata.write(...put('cache', manifest, ['t'])))).toBe(0)
    expect(await count(metadata.write(...put('cache', other, ['t'])))).toBe(1)
    expect(await count(metadata.write(...put('cache', manifest, ['new'])))).toBe(0)
    expect(await count(metadata.write(...remove('cache', { tag: 'new' })))).toBe(1)
    expect(await count(metadata.write(...remove('cache', { digest: parseDigest(other.digest) })))).toBe(1)
    expect(metadata.manifests.find(parseRepositoryName('cache'), { tag: parseTag('t') }, AT)).toBeUndefined()
  })

  test('marks a blob as unreferenced until a manifest names it', async () => {
    const layer = randomBlob(10)
    const unreferenced = () =>
      rows(
        `select unreferenced_at as at from repository_blob l join repository r on r.id = l.repository_id
         join blob b on b.id = l.blob_id where r.name = 'grace' and b.digest = unhex(?)`,
        layer.digest.slice(7),
      )
    for (const blob of [EMPTY, layer]) await metadata.write(...link('grace', blob))
    expect(unreferenced()).toEqual([{ at: AT }])
    await metadata.write(...put('grace', imageManifest(EMPTY, [layer]), []))
    expect(unreferenced()).toEqual([{ at: null }])
    await metadata.write(...link('grace', layer))
    expect(unreferenced()).toEqual([{ at: null }])
  })
})
