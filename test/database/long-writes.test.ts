import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { DAY_SECONDS, one, openMachine, two } from '../support/time-machine.ts'
import { AT, link, open, put, remove } from '../support/writes.ts'

const MANY = 3000
const NONE = { windowMs: 0, graceMs: 0, untaggedDays: 0 }

type Machine = Awaited<ReturnType<typeof openMachine>>

/** Creates a repository with many tags of one manifest, each with its line in the history. */
async function openWithMany() {
  const m = await openMachine()
  await m.push(one, ['first'])
  using db = new Database(join(m.folder, 'cay.db'))
  db.transaction(() => {
    db.run(`insert into tag (repository_id, name, manifest_id, digest, updated_at)
      with recursive n(i) as (select 1 union all select i + 1 from n where i < ${MANY})
      select repository_id, 'v' || i, manifest_id, digest, updated_at from n join tag on name = 'first'`)
    db.run(`insert into tag_history (repository_id, name, digest, act, at, address, request_id)
      select repository_id, name, digest, 'manifest.push', updated_at, '', '' from tag where name <> 'first'`)
  })()
  return m
}

/** Starts a write, then a push elsewhere. Returns the write's result, and which of the two finished first. */
async function besidePush<T>(m: Machine, write: Promise<T>): Promise<{ answer: T; first: string }> {
  const push = m.metadata.write(...link('other', EMPTY))
  const first = await Promise.race([write.then(() => 'write'), push.then(() => 'push')])
  await push
  return { answer: await write, first }
}

const tagsOf = (m: Machine) => m.sql<{ n: number }>('select count(*) as n from tag')[0]?.n

test('long writes: the deletion of a manifest with many tags lets pushes go first, and can be undone', async () => {
  await using m = await openWithMany()
  const [name, call] = remove('app', { digest: parseDigest(one.digest) })
  const { first } = await besidePush(m, m.metadata.write(name, { ...call, at: m.clock.time }))
  expect([first, tagsOf(m)]).toEqual(['push', 0])
  m.clock.advance()
  const restore = { ...m.restore(), digest: parseDigest(one.digest) }
  const { answer, ...order } = await besidePush(m, m.metadata.write('restoreManifest', restore))
  expect([order.first, answer.tags.length, tagsOf(m)]).toEqual(['push', MANY + 1, MANY + 1])
})

test('long writes: each part of a deletion makes cached content stale before other writes reply', async () => {
  await using m = await openWithMany()
  let stale = 0
  m.metadata.onStale('content', () => {
    stale++
  })
  const [name, call] = remove('app', { digest: parseDigest(one.digest) })
  const deletion = m.metadata.write(name, { ...call, at: m.clock.time })
  await m.metadata.write(...link('other', EMPTY))
  expect([stale > 0, (tagsOf(m) ?? 0) > 0]).toEqual([true, true])
  await deletion
})

test('long writes: two deletions of a manifest with many tags, one succeeds', async () => {
  await using m = await openWithMany()
  const [name, call] = remove('app', { digest: parseDigest(one.digest) })
  const deletion = m.metadata.write(name, { ...call, at: m.clock.time })
  await m.metadata.write(...link('other', EMPTY))
  expect(tagsOf(m)).toBeGreaterThan(0)
  m.clock.advance()
  expect((await failureOf(m.metadata.write(name, { ...call, at: m.clock.time }))).status).toBe(404)
  await deletion
  expect(tagsOf(m)).toBe(0)
  await m.push(one, ['again'])
  m.clock.advance()
  await m.metadata.write(name, { ...call, at: m.clock.time })
  expect(tagsOf(m)).toBe(0)
})

test('long writes: a deletion that has begun is completed, even if tags become immutable meanwhile', async () => {
  await using m = await openWithMany()
  const [name, call] = remove('app', { digest: parseDigest(one.digest) })
  const deletion = m.metadata.write(name, { ...call, at: m.clock.time })
  const { repository } = m.restore()
  await m.metadata.write('changeRepository', { ...m.who(), repository, change: { immutableTags: true } })
  await deletion
  expect(tagsOf(m)).toBe(0)
})

test('long writes: the same call completes a deletion whose process ended between two parts', async () => {
  await using m = await openWithMany()
  const [name, call] = remove('app', { digest: parseDigest(one.digest) })
  {
    using db = new Database(join(m.folder, 'cay.db'))
    db.run(`update manifest set deleted_at = ${m.clock.time}`)
  }
  m.clock.advance()
  const again = { ...call, at: m.clock.time }
  await m.metadata.write(name, again)
  expect(tagsOf(m)).toBe(0)
  expect((await failureOf(m.metadata.write(name, again))).status).toBe(404)
  const restore = { ...m.restore(), digest: parseDigest(one.digest) }
  expect((await m.metadata.write('restoreManifest', restore)).tags).toHaveLength(MANY + 1)
})

test('long writes: a rewind of many tags lets pushes go first, and can be undone', async () => {
  await using m = await openWithMany()
  const before = m.clock.time
  m.clock.advance()
  const [name, call] = remove('app', { digest: parseDigest(one.digest) })
  await m.metadata.write(name, { ...call, at: m.clock.time })
  m.clock.advance()
  await m.push(two, ['v7', 'new'])
  const after = m.clock.time
  m.clock.advance()
  const { answer, first } = await besidePush(
    m,
    m.metadata.write('rewindRepository', { ...m.restore(), to: before }),
  )
  expect([first, answer]).toEqual(['push', { stale: 'content', restored: MANY + 1, removed: 1, lost: 0 }])
  expect([tagsOf(m), m.at('v7'), m.at('new')]).toEqual([MANY + 1, one.digest, undefined as never])
  m.clock.advance()
  const undone = await m.metadata.write('rewindRepository', { ...m.restore(), to: after })
  expect(undone).toMatchObject({ restored: 2, removed: MANY, lost: 0 })
  expect(m.state()).toEqual({ v7: two.digest, new: two.digest })
})

test('long writes: tags that an interrupted deletion left are collected in parts', async () => {
  for (const name of ['collectManifests', 'purgeManifests'] as const) {
    await using m = await openWithMany()
    {
      using db = new Database(join(m.folder, 'cay.db'))
      db.run(`update manifest set deleted_at = ${m.clock.time}`)
    }
    m.clock.advance()
    const { time } = m.clock
    const target = { repository: m.restore().repository, digest: undefined, pushedAt: 0 }
    const call = { ...m.who(), ...target, until: time, garbageWindow: NONE, limit: 100 }
    const first = await m.metadata.write(name, call)
    expect([first.more, first.manifests, first.tags > 0, first.tags <= MANY]).toEqual([true, 0, true, true])
    let { tags } = first
    for (let { more } = first; more; ) {
      const batch = await m.metadata.write(name, call)
      more = batch.more
      tags += batch.tags
    }
    expect([tags, tagsOf(m), m.sql('select id from manifest')]).toEqual([MANY + 1, 0, []])
  }
})

test('long writes: a repository with immutable tags is rewound as a whole or not at all', async () => {
  await using m = await openWithMany()
  const before = m.clock.time - DAY_SECONDS * 1000
  await m.metadata.write('changeRepository', {
    ...m.who(),
    repository: m.restore().repository,
    change: { immutableTags: true },
  })
  const rewind = m.metadata.write('rewindRepository', { ...m.restore(), to: before })
  expect(await rewind.catch((error: Error) => error.message)).toContain('immutable')
  expect(tagsOf(m)).toBe(MANY + 1)
})

test('gc: the database file shrinks after its content was collected', async () => {
  await using folder = await temporaryFolder('shrinking')
  const size = () => statSync(join(folder.path, 'cay.db')).size
  const first = await open(folder.path)
  await first.write(...link('app', EMPTY))
  const padding = 'x'.repeat(20_000)
  const manifests = Array.from({ length: 300 }, (_, n) =>
    imageManifest(EMPTY, [], { annotations: { n: `${n}${padding}` } }),
  )
  await Promise.all(manifests.map((manifest) => first.write(...put('app', manifest, []))))
  await first.close()
  const full = size()
  const second = await open(folder.path)
  await Promise.all(
    manifests.map(({ digest }) => second.write(...remove('app', { digest: parseDigest(digest) }))),
  )
  const call = { at: AT + 1, until: AT + 1, garbageWindow: NONE, limit: 100 }
  while ((await second.write('collectManifests', call)).more);
  while ((await second.write('releasePages', {})).more);
  await second.close()
  expect(full).toBeGreaterThan(6_000_000)
  expect(size()).toBeLessThan(full / 3)
})
