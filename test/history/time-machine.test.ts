import { expect, test } from 'bun:test'
import { EVERYTHING } from '../../src/access/patterns.ts'
import { parseDigest, parseTag } from '../../src/oci/reference.ts'
import { EMPTY } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { APP, DAY_SECONDS, one, openMachine, three, two } from '../support/time-machine.ts'
import { AT, link } from '../support/writes.ts'

test('rewind: every tag is restored, including expired ones, and the rewind itself can be undone', async () => {
  await using m = await openMachine()
  await m.push(one, ['same', 'moved', 'deleted'])
  await m.push(one, ['ends'], { expiresAfterSeconds: 60 })
  const then = m.clock.advance()
  const before = m.state()
  await m.push(two, ['moved', 'new'])
  await m.drop({ tag: 'deleted' })
  await m.push(three, ['moved'])
  m.clock.advance(60)
  const after = m.state()
  expect(after).toEqual({ same: one.digest, moved: three.digest, new: two.digest })
  const undo = m.clock.advance()
  const rewound = await m.metadata.write('rewindRepository', { ...m.restore(), to: then })
  expect(rewound).toMatchObject({ restored: 3, removed: 1, lost: 0 })
  expect(m.state()).toEqual(before)
  m.clock.advance()
  await m.metadata.write('rewindRepository', { ...m.restore(), to: undo })
  expect(m.state()).toEqual(after)
  const lines = m.here.history.ofTag(APP, parseTag('same'), Number.MAX_SAFE_INTEGER, 100)
  expect(lines).toHaveLength(1)
  const all = m.here.history.ofRepository(APP, Number.MAX_SAFE_INTEGER, 100) ?? []
  expect(all.filter(({ act }) => act === 'repository.rewind')).toHaveLength(8)
  for (const [at, line] of all.entries()) {
    const page = m.here.history.ofRepository(APP, all[at - 1]?.id ?? Number.MAX_SAFE_INTEGER, 1)
    expect(page).toEqual([line])
  }
  expect(
    await failureOf(
      m.metadata.write('rewindRepository', { ...m.restore(), to: AT - 15 * DAY_SECONDS * 1000 }),
    ),
  ).toMatchObject({
    status: 400,
  })
})

test('rewind: deleted manifests are restored', async () => {
  await using m = await openMachine()
  await m.push(one, ['t'])
  const then = m.clock.advance()
  await m.drop({ digest: parseDigest(one.digest) })
  await m.metadata.write('rewindRepository', { ...m.restore(), to: then })
  expect(m.state()).toEqual({ t: one.digest })
})

test('restore: content deleted before the window cannot be restored', async () => {
  await using m = await openMachine()
  await m.push(one, ['t'])
  await m.drop({ digest: parseDigest(one.digest) })
  m.clock.advance(15 * DAY_SECONDS)
  const digest = parseDigest(one.digest)
  for (const call of [
    m.metadata.write('restoreManifest', { ...m.restore(), digest }),
    m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('t'), to: { digest } }),
  ])
    expect(await failureOf(call)).toMatchObject({ status: 404 })
  await m.metadata.write('deleteRepository', { ...m.who(), repository: APP })
  m.clock.advance(15 * DAY_SECONDS)
  expect((await failureOf(m.metadata.write('restoreRepository', m.restore()))).message).toContain(
    'the earliest time to restore from',
  )
})

test('repository restore: all content is restored, and a name in use again is an error', async () => {
  await using m = await openMachine()
  await m.push(one, ['t'])
  const deletedAt = m.clock.advance()
  await m.metadata.write('deleteRepository', { ...m.who(), at: deletedAt, repository: APP })
  expect(m.metadata.repositories.find(APP)).toBeUndefined()
  expect(m.at('t')).toBeUndefined()
  await m.metadata.write(...link('app', EMPTY))
  await m.push(two, ['other'])
  expect(m.state()).toEqual({ other: two.digest })
  expect(m.isThere(one)).toBeFalse()
  expect(await failureOf(m.metadata.write('restoreRepository', m.restore()))).toMatchObject({ status: 409 })
  await m.metadata.write('deleteRepository', { ...m.who(), repository: APP })
  m.clock.advance()
  expect(m.here.catalog.deletedRepositories(EVERYTHING, { windowStart: 0 }, 10).rows).toHaveLength(2)
  await m.metadata.write('restoreRepository', { ...m.restore(), deletedAt })
  expect(m.state()).toEqual({ t: one.digest })
  await m.metadata.write('deleteRepository', { ...m.who(), repository: APP })
  await m.metadata.write('restoreRepository', m.restore())
  expect(m.state()).toEqual({ t: one.digest })
  expect(m.events().filter((type) => type.startsWith('repository.'))).toEqual([
    'repository.delete',
    'repository.delete',
    'repository.restore',
    'repository.delete',
    'repository.restore',
  ])
})

test('repository restore: a repository that is being collected is not restored in part', async () => {
  await using m = await openMachine()
  await m.push(one, ['a', 'b'])
  await m.metadata.write('deleteRepository', { ...m.who(), repository: APP })
  const restore = m.restore()
  m.clock.advance(15 * DAY_SECONDS)
  const garbageWindow = { windowMs: 14 * DAY_SECONDS * 1000, graceMs: DAY_SECONDS * 1000, untaggedDays: 0 }
  const batch = await m.metadata.write('collectRepositories', {
    at: m.clock.time,
    until: m.clock.time,
    garbageWindow,
    limit: 1,
  })
  expect(batch).toMatchObject({ tags: 1, more: true })
  // Requested while it could still be restored, and answered later.
  expect(await failureOf(m.metadata.write('restoreRepository', restore))).toMatchObject({ status: 404 })
})
