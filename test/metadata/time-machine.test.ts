import { Database } from 'bun:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/temporary-folder.ts'
import type { Metadata } from '../../src/metadata/metadata.ts'
import { EVERYTHING } from '../../src/metadata/repositories.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import { parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { Clock } from '../support/clock.ts'
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
import { AT, CALLER, link, open, put, remove } from '../support/writes.ts'

const DAY = 86_400
const APP = parseRepositoryName('app')
const [one, two, three] = ['1', '2', '3'].map((n) => imageManifest(EMPTY, [], { annotations: { n } })) as [
  Named,
  Named,
  Named,
]

describe('the time machine', () => {
  let folder: TemporaryFolder
  let metadata: Metadata
  let clock: Clock
  beforeEach(async () => {
    folder = await temporaryFolder('machine')
    metadata = await open(folder.path)
    clock = new Clock(AT)
    await metadata.write(...link('app', EMPTY))
  })
  afterEach(async () => {
    await metadata.close()
    await folder[Symbol.asyncDispose]()
  })

  const who = () => ({ caller: CALLER, at: clock.time })
  const restore = () => ({ ...who(), repository: APP, windowStart: clock.time - 14 * DAY * 1000 })
  const tagCall = (tag: string) => ({ ...who(), repository: APP, tag: parseTag(tag) })
  const push = async (manifest: Named, tags: string[], more: object = {}) => {
    const [name, call] = put('app', manifest, tags)
    await metadata.write(name, { ...call, ...more, at: clock.time })
    clock.advance()
  }
  const drop = async (reference: Parameters<typeof remove>[1]) => {
    const [name, call] = remove('app', reference)
    await metadata.write(name, { ...call, at: clock.time })
    clock.advance()
  }
  const at = (tag: string) =>
    metadata.manifests.find(APP, { tag: parseTag(tag) }, clock.time)?.digest as string
  const isThere = ({ digest }: Named) =>
    metadata.manifests.find(APP, { digest: parseDigest(digest) }, clock.time) !== undefined
  const state = () =>
    Object.fromEntries((metadata.tags.list(APP, '', 100, clock.time) ?? []).map((tag) => [tag, at(tag)]))
  const sql = <T>(query: string) => {
    using db = new Database(join(folder.path, 'cay.db'), { readonly: true })
    return db.query(query).all() as T[]
  }
  const events = () => sql<{ type: string }>('select type from event order by id').map(({ type }) => type)

  test('every move of a tag leaves a line: from where, to where, by which act, who, when', async () => {
    await push(one, ['t'])
    await push(two, ['t'])
    await metadata.write('putTag', { ...tagCall('t'), digest: parseDigest(one.digest) })
    clock.advance()
    await drop({ tag: 't' })
    await metadata.write('restoreTag', {
      ...restore(),
      ...tagCall('t'),
      to: { digest: parseDigest(two.digest) },
    })
    await metadata.write('expireTag', { ...tagCall('t'), expiresAt: clock.time + 500 })
    clock.advance()
    await push(three, ['t'])
    const lines = metadata.history.ofTag(APP, parseTag('t'), Number.MAX_SAFE_INTEGER, 100) ?? []
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
    const pages = metadata.history.ofRepository(APP, Number.MAX_SAFE_INTEGER, 3) ?? []
    const rest = metadata.history.ofRepository(APP, pages[2]?.id ?? 0, 100) ?? []
    expect([...pages, ...rest]).toEqual(lines)
    expect(events().filter((type) => type.startsWith('tag.'))).toEqual([
      'tag.put',
      'tag.delete',
      'tag.restore',
      'tag.change',
      'tag.expire',
    ])
  })

  test('a moved tag goes back to a digest, or to what it was at a time', async () => {
    const before = clock.time
    await push(one, ['t'])
    const first = clock.time - 1
    await push(two, ['t'])
    expect(
      await metadata.write('restoreTag', { ...restore(), ...tagCall('t'), to: { at: first } }),
    ).toMatchObject({
      digest: one.digest,
    })
    expect(at('t')).toBe(one.digest)
    clock.advance()
    await metadata.write('restoreTag', {
      ...restore(),
      ...tagCall('t'),
      to: { digest: parseDigest(two.digest) },
    })
    expect(at('t')).toBe(two.digest)
    const absent = failureOf(
      metadata.write('restoreTag', { ...restore(), ...tagCall('t'), to: { at: before - 1 } }),
    )
    expect(await absent).toMatchObject({ status: 404 })
    const never = { ...restore(), ...tagCall('t'), to: { digest: parseDigest(three.digest) } }
    expect(await failureOf(metadata.write('restoreTag', never))).toMatchObject({ status: 404 })
    const future = { ...restore(), ...tagCall('t'), to: { at: clock.time + 1 } }
    expect(await failureOf(metadata.write('restoreTag', future))).toMatchObject({ status: 400 })
  })

  test('a deleted tag and its deleted manifest come back together, with an index also its children and their blobs', async () => {
    const layer = randomBlob(64)
    const child = imageManifest(EMPTY, [layer])
    const index = imageIndex([descriptor(child, OCI_MANIFEST)])
    await metadata.write(...link('app', layer))
    await push(child, [])
    await push(index, ['multi'])
    const whole = clock.time
    clock.advance()
    await drop({ digest: parseDigest(index.digest) })
    await drop({ digest: parseDigest(child.digest) })
    const blob = { ...who(), repository: APP, digest: parseDigest(layer.digest) }
    await metadata.write('unlinkBlob', blob)
    expect(metadata.blobs.findSize(APP, parseDigest(layer.digest))).toBeUndefined()
    await metadata.write('restoreTag', { ...restore(), ...tagCall('multi'), to: { at: whole } })
    expect(at('multi')).toBe(index.digest)
    expect(isThere(child)).toBeTrue()
    expect(metadata.blobs.findSize(APP, parseDigest(layer.digest))).toBe(64)
    expect(
      sql('select 1 from repository_blob where unreferenced_at is not null or deleted_at is not null'),
    ).toEqual([])
  })

  test('a manifest comes back with the tags that went in the same act, unless they were made again', async () => {
    await push(one, ['a', 'b', 'alone'])
    await drop({ tag: 'alone' })
    await drop({ digest: parseDigest(one.digest) })
    await push(two, ['b'])
    expect(isThere(one)).toBeFalse()
    expect(metadata.catalog.deletedManifests(APP, 0, 1e9, 10)).toMatchObject([{ digest: one.digest }])
    const call = { ...restore(), digest: parseDigest(one.digest) }
    expect(await metadata.write('restoreManifest', call)).toMatchObject({ tags: ['a'] })
    expect(state()).toEqual({ a: one.digest, b: two.digest })
    expect(await metadata.write('restoreManifest', call)).toMatchObject({ tags: [] })
    expect(events().filter((type) => type === 'manifest.restore')).toHaveLength(1)
    expect(
      await failureOf(metadata.write('restoreManifest', { ...call, digest: parseDigest(three.digest) })),
    ).toMatchObject({
      status: 404,
    })
  })

  test('a rewind takes every tag back, also those that ended, and can itself be undone', async () => {
    await push(one, ['same', 'moved', 'deleted'])
    await push(one, ['ends'], { expiresAfterSeconds: 60 })
    const then = clock.advance()
    const before = state()
    await push(two, ['moved', 'new'])
    await drop({ tag: 'deleted' })
    await push(three, ['moved'])
    clock.advance(60)
    const after = state()
    expect(after).toEqual({ same: one.digest, moved: three.digest, new: two.digest })
    const undo = clock.advance()
    const rewound = await metadata.write('rewindRepository', { ...restore(), to: then })
    expect(rewound).toMatchObject({ restored: 3, removed: 1, lost: 0 })
    expect(state()).toEqual(before)
    clock.advance()
    await metadata.write('rewindRepository', { ...restore(), to: undo })
    expect(state()).toEqual(after)
    const lines = metadata.history.ofTag(APP, parseTag('same'), Number.MAX_SAFE_INTEGER, 100)
    expect(lines).toHaveLength(1)
    const all = metadata.history.ofRepository(APP, Number.MAX_SAFE_INTEGER, 100) ?? []
    expect(all.filter(({ act }) => act === 'repository.rewind')).toHaveLength(8)
    for (const [at, line] of all.entries()) {
      const page = metadata.history.ofRepository(APP, all[at - 1]?.id ?? Number.MAX_SAFE_INTEGER, 1)
      expect(page).toEqual([line])
    }
    expect(
      await failureOf(metadata.write('rewindRepository', { ...restore(), to: AT - 15 * DAY * 1000 })),
    ).toMatchObject({
      status: 400,
    })
  })

  test('a rewind brings back manifests that were deleted', async () => {
    await push(one, ['t'])
    const then = clock.advance()
    await drop({ digest: parseDigest(one.digest) })
    await metadata.write('rewindRepository', { ...restore(), to: then })
    expect(state()).toEqual({ t: one.digest })
  })

  test('what was deleted before the window does not come back', async () => {
    await push(one, ['t'])
    await drop({ digest: parseDigest(one.digest) })
    clock.advance(15 * DAY)
    const digest = parseDigest(one.digest)
    for (const call of [
      metadata.write('restoreManifest', { ...restore(), digest }),
      metadata.write('restoreTag', { ...restore(), ...tagCall('t'), to: { digest } }),
    ])
      expect(await failureOf(call)).toMatchObject({ status: 404 })
    await metadata.write('deleteRepository', { ...who(), repository: APP })
    clock.advance(15 * DAY)
    expect((await failureOf(metadata.write('restoreRepository', restore()))).message).toContain(
      'the time machine',
    )
  })

  test('a deleted repository comes back whole; one whose name was taken again says so', async () => {
    await push(one, ['t'])
    const deletedAt = clock.advance()
    await metadata.write('deleteRepository', { ...who(), at: deletedAt, repository: APP })
    expect(metadata.repositories.find(APP)).toBeUndefined()
    expect(at('t')).toBeUndefined()
    await metadata.write(...link('app', EMPTY))
    await push(two, ['other'])
    expect(state()).toEqual({ other: two.digest })
    expect(isThere(one)).toBeFalse()
    expect(await failureOf(metadata.write('restoreRepository', restore()))).toMatchObject({ status: 409 })
    await metadata.write('deleteRepository', { ...who(), repository: APP })
    clock.advance()
    expect(metadata.catalog.deletedRepositories(EVERYTHING, { windowStart: 0 }, 10)).toHaveLength(2)
    await metadata.write('restoreRepository', { ...restore(), deletedAt })
    expect(state()).toEqual({ t: one.digest })
    await metadata.write('deleteRepository', { ...who(), repository: APP })
    await metadata.write('restoreRepository', restore())
    expect(state()).toEqual({ t: one.digest })
    expect(events().filter((type) => type.startsWith('repository.'))).toEqual([
      'repository.delete',
      'repository.delete',
      'repository.restore',
      'repository.delete',
      'repository.restore',
    ])
  })
})
