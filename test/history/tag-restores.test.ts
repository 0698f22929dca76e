import { describe, expect, test } from 'bun:test'
import { parseDigest, parseTag } from '../../src/oci/reference.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  type Named,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { APP, one, openMachine, three, two } from '../support/time-machine.ts'
import { AT, CALLER, link } from '../support/writes.ts'

test('tag history: every move records the old and new digest, the act, the account and the time', async () => {
  await using m = await openMachine()
  await m.push(one, ['t'])
  await m.push(two, ['t'])
  await m.metadata.write('putTag', { ...m.tagCall('t'), digest: parseDigest(one.digest) })
  m.clock.advance()
  await m.drop({ tag: 't' })
  await m.metadata.write('restoreTag', {
    ...m.restore(),
    ...m.tagCall('t'),
    to: { digest: parseDigest(two.digest) },
  })
  await m.metadata.write('expireTag', { ...m.tagCall('t'), expiresAt: m.clock.time + 500 })
  m.clock.advance()
  await m.push(three, ['t'])
  const lines = m.here.history.ofTag(APP, parseTag('t'), Number.MAX_SAFE_INTEGER, 100) ?? []
  const d = (manifest: Named) => parseDigest(manifest.digest)
  expect(lines.map(({ act, previous, digest, at }) => [act, previous, digest, at - AT]).reverse()).toEqual([
    ['manifest.push', undefined, d(one), 0],
    ['manifest.push', d(one), d(two), 1000],
    ['tag.put', d(two), d(one), 2000],
    ['tag.delete', d(one), undefined, 3000],
    ['tag.restore', undefined, d(two), 4000],
    ['tag.expire', d(two), undefined, 4500],
    ['manifest.push', undefined, d(three), 5000],
  ])
  const { account, credential, address, requestId } = CALLER
  expect(lines[0]).toMatchObject({ account, credential, address, requestId, isPreviousHere: false })
  expect(lines[1]).toMatchObject({ account: 'system', isPreviousHere: true })
  const pages = m.here.history.ofRepository(APP, Number.MAX_SAFE_INTEGER, 3) ?? []
  const rest = m.here.history.ofRepository(APP, pages[2]?.id ?? 0, 100) ?? []
  expect([...pages, ...rest]).toEqual(lines)
  expect(m.events().filter((type) => type.startsWith('tag.'))).toEqual([
    'tag.put',
    'tag.delete',
    'tag.restore',
    'tag.change',
    'tag.expire',
  ])
})

test('tag restore: a moved tag is restored to a digest or to a time', async () => {
  await using m = await openMachine()
  const before = m.clock.time
  await m.push(one, ['t'])
  const first = m.clock.time - 1
  await m.push(two, ['t'])
  expect(
    await m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('t'), to: { at: first } }),
  ).toMatchObject({
    digest: one.digest,
  })
  expect(m.at('t')).toBe(one.digest)
  m.clock.advance()
  await m.metadata.write('restoreTag', {
    ...m.restore(),
    ...m.tagCall('t'),
    to: { digest: parseDigest(two.digest) },
  })
  expect(m.at('t')).toBe(two.digest)
  const absent = failureOf(
    m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('t'), to: { at: before - 1 } }),
  )
  expect(await absent).toMatchObject({ status: 404 })
  const never = { ...m.restore(), ...m.tagCall('t'), to: { digest: parseDigest(three.digest) } }
  expect(await failureOf(m.metadata.write('restoreTag', never))).toMatchObject({ status: 404 })
  const future = { ...m.restore(), ...m.tagCall('t'), to: { at: m.clock.time + 1 } }
  expect(await failureOf(m.metadata.write('restoreTag', future))).toMatchObject({ status: 400 })
})

test('tag restore: a deleted tag is restored with its manifest, and an index with its children and blobs', async () => {
  await using m = await openMachine()
  const layer = randomBlob(64)
  const child = imageManifest(EMPTY, [layer])
  const index = imageIndex([descriptor(child, OCI_MANIFEST)])
  await m.metadata.write(...link('app', layer))
  await m.push(child, [])
  await m.push(index, ['multi'])
  const whole = m.clock.time
  m.clock.advance()
  await m.drop({ digest: parseDigest(index.digest) })
  await m.drop({ digest: parseDigest(child.digest) })
  const blob = { ...m.who(), repository: APP, digest: parseDigest(layer.digest) }
  await m.metadata.write('unlinkBlob', blob)
  expect(m.metadata.blobs.findSize(APP, parseDigest(layer.digest))).toBeUndefined()
  await m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('multi'), to: { at: whole } })
  expect(m.at('multi')).toBe(index.digest)
  expect(m.isThere(child)).toBeTrue()
  expect(m.metadata.blobs.findSize(APP, parseDigest(layer.digest))).toBe(64)
  expect(
    m.sql('select 1 from repository_blob where unreferenced_at is not null or deleted_at is not null'),
  ).toEqual([])
})

test('manifest restore: tags deleted in the same act are restored, unless they were created again', async () => {
  await using m = await openMachine()
  await m.push(one, ['a', 'b', 'alone'])
  await m.drop({ tag: 'alone' })
  await m.drop({ digest: parseDigest(one.digest) })
  await m.push(two, ['b'])
  expect(m.isThere(one)).toBeFalse()
  expect(m.here.catalog.deletedManifests(APP, 0, 1e9, 10)).toMatchObject([{ digest: one.digest }])
  const call = { ...m.restore(), digest: parseDigest(one.digest) }
  expect(await m.metadata.write('restoreManifest', call)).toMatchObject({ tags: ['a'] })
  expect(m.state()).toEqual({ a: one.digest, b: two.digest })
  expect(await m.metadata.write('restoreManifest', call)).toMatchObject({ tags: [] })
  expect(m.events().filter((type) => type === 'manifest.restore')).toHaveLength(1)
  expect(
    await failureOf(m.metadata.write('restoreManifest', { ...call, digest: parseDigest(three.digest) })),
  ).toMatchObject({
    status: 404,
  })
})

test('tag restore: existing immutable tags cannot be moved, and deleted ones can be restored', async () => {
  await using m = await openMachine()
  await m.push(one, ['moved', 'deleted'])
  const then = m.clock.advance()
  await m.push(two, ['moved'])
  await m.drop({ tag: 'deleted' })
  await m.metadata.write('putRepository', { ...m.who(), repository: APP, immutableTags: true })
  const to = { digest: parseDigest(one.digest) }
  const refused = [
    m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('moved'), to }),
    m.metadata.write('putTag', { ...m.tagCall('moved'), ...to }),
    m.metadata.write('expireTag', { ...m.tagCall('moved'), expiresAt: m.clock.time + 1 }),
    m.metadata.write('rewindRepository', { ...m.restore(), to: then }),
  ]
  for (const settled of await Promise.allSettled(refused))
    expect(settled).toMatchObject({ status: 'rejected', reason: { status: 409 } })
  expect(m.state()).toEqual({ moved: two.digest })
  await m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('deleted'), to })
  expect(m.state()).toEqual({ deleted: one.digest, moved: two.digest })
  await m.metadata.write('deleteRepository', { ...m.who(), repository: APP })
  await m.metadata.write('restoreRepository', m.restore())
  expect(m.state()).toEqual({ deleted: one.digest, moved: two.digest })
})

test('tags: changes respect their condition', async () => {
  await using m = await openMachine()
  await m.push(one, ['t'])
  const digest = parseDigest(one.digest)
  const end = m.clock.time + 5000
  const isAsNow = () => ({
    condition: { ifMatch: [String(m.here.tags.find(APP, parseTag('t'), m.clock.time)?.version)] },
  })
  const before = isAsNow()
  await m.metadata.write('expireTag', { ...m.tagCall('t'), ...before, expiresAt: end })
  for (const expected of [before, { condition: { ifNoneMatch: ['*'] } }]) {
    const call = { ...m.tagCall('t'), ...expected }
    const refused = [
      m.metadata.write('putTag', { ...call, digest }),
      m.metadata.write('expireTag', { ...call, expiresAt: null }),
      m.metadata.write('restoreTag', { ...m.restore(), ...call, to: { digest } }),
    ]
    for (const settled of await Promise.allSettled(refused))
      expect(settled).toMatchObject({ status: 'rejected', reason: { status: 412 } })
  }
  await m.metadata.write('expireTag', { ...m.tagCall('t'), ...isAsNow(), expiresAt: null })
  m.clock.advance(60)
  expect(m.at('t')).toBe(one.digest)
  expect(
    await failureOf(m.metadata.write('expireTag', { ...m.tagCall('t'), expiresAt: m.clock.time })),
  ).toMatchObject({
    status: 400,
  })
})

test('manifest restore: without a tag, the manifest is garbage until a tag points at it', async () => {
  await using m = await openMachine()
  await m.push(one, [])
  await m.drop({ digest: parseDigest(one.digest) })
  m.clock.advance(3600)
  await m.metadata.write('restoreManifest', { ...m.restore(), digest: parseDigest(one.digest) })
  const since = () => m.sql('select unreferenced_at as at from manifest where untagged_at is null')
  expect(since()).toEqual([{ at: m.clock.time }])
  await m.metadata.write('putTag', { ...m.tagCall('t'), digest: parseDigest(one.digest) })
  expect(since()).toEqual([{ at: null }])
})

describe('the expiry of a tag', () => {
  const HOUR_MS = 3_600_000
  const endOf = (m: Awaited<ReturnType<typeof openMachine>>, tag = 't') =>
    m.here.tags.find(APP, parseTag(tag), m.clock.time)?.expiresAt

  test('in the future is kept by a restore of the tag or its manifest, and by a rewind', async () => {
    await using m = await openMachine()
    const end = m.clock.time + HOUR_MS
    await m.push(one, ['t'], { expiresAfterSeconds: 3600 })
    const then = m.clock.advance()
    await m.drop({ tag: 't' })
    const digest = parseDigest(one.digest)
    await m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('t'), to: { digest } })
    expect(endOf(m)).toBe(end)
    m.clock.advance()
    await m.push(two, ['t'])
    expect(endOf(m)).toBeNull()
    await m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('t'), to: { at: then } })
    expect(endOf(m)).toBe(end)
    m.clock.advance()
    await m.drop({ digest })
    await m.metadata.write('restoreManifest', { ...m.restore(), digest })
    expect(endOf(m)).toBe(end)
    m.clock.advance()
    await m.push(two, ['t'])
    await m.metadata.write('rewindRepository', { ...m.restore(), to: then })
    expect(endOf(m)).toBe(end)
  })

  test('in the past is replaced by the time that the tag had left', async () => {
    await using m = await openMachine()
    await m.push(one, ['t', 'deleted'], { expiresAfterSeconds: 3600 })
    m.clock.advance(599)
    const then = m.clock.time
    await m.drop({ tag: 'deleted' })
    m.clock.advance(2 * 3600)
    expect(m.state()).toEqual({})
    await m.metadata.write('rewindRepository', { ...m.restore(), to: then })
    expect(endOf(m)).toBe(m.clock.time + HOUR_MS - 600_000)
    const digest = parseDigest(one.digest)
    await m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('deleted'), to: { digest } })
    expect(endOf(m, 'deleted')).toBe(m.clock.time + HOUR_MS - 600_000)
  })

  test('is removed when an expired tag is restored to its digest, so that it does not expire again at once', async () => {
    await using m = await openMachine()
    await m.push(one, ['t'], { expiresAfterSeconds: 3600 })
    m.clock.advance(2 * 3600)
    const digest = parseDigest(one.digest)
    await m.metadata.write('restoreTag', { ...m.restore(), ...m.tagCall('t'), to: { digest } })
    expect(endOf(m)).toBeNull()
    expect(m.state()).toEqual({ t: one.digest })
  })

  test('is undone by a rewind, even if the tag points at the same manifest again', async () => {
    await using m = await openMachine()
    await m.push(one, ['t'])
    const then = m.clock.advance()
    await m.push(two, ['t'])
    await m.push(one, ['t'], { expiresAfterSeconds: 60 })
    await m.metadata.write('rewindRepository', { ...m.restore(), to: then })
    expect(endOf(m)).toBeNull()
  })
})
