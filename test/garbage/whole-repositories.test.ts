import { afterEach, beforeEach, expect, test } from 'bun:test'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { faultsOf } from '../support/collected-integrity.ts'
import { type CollectedRegistry, DAY, openCollectedRegistry } from '../support/collected-registry.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  type Named,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { CALLER } from '../support/writes.ts'

let cay: CollectedRegistry
beforeEach(async () => {
  cay = await openCollectedRegistry()
  cay.wait(DAY)
})
afterEach(() => cay[Symbol.asyncDispose]())

const layer = randomBlob(100)

async function pushImage(repository: string, tags: string[], more: Named[] = []): Promise<Named> {
  const layers = [layer, ...more]
  for (const blob of [EMPTY, ...layers]) await cay.pushBlob(blob, repository)
  const image = imageManifest(EMPTY, layers)
  await cay.pushManifest(image, tags, repository)
  return image
}

async function collectAfter(ms: number) {
  cay.wait(ms)
  return await cay.collector.run()
}

const write = (repository: string) => ({
  caller: CALLER,
  at: cay.now(),
  repository: parseRepositoryName(repository),
})
const counts = () =>
  ['repository', 'manifest', 'tag', 'repository_blob', 'blob', 'tag_history'].map(
    (table) => (cay.db.query(`select count(*) as n from ${table}`).get() as { n: number }).n,
  )

test('gc: a deleted repository is removed with its content, and a new one with its name is kept', async () => {
  const own = randomBlob(50)
  const image = await pushImage('a', ['t'], [own])
  await cay.pushManifest(imageIndex([descriptor(image, OCI_MANIFEST)]), ['index', 'second'])
  await cay.pushBlob(randomBlob(5))
  await cay.metadata.write('deleteRepository', write('a'))
  const again = await pushImage('a', ['t'])
  expect(await collectAfter(10 * DAY)).toMatchObject({ repositories: 0 })
  expect(await collectAfter(1)).toMatchObject({ repositories: 1, manifests: 2, tags: 3 })
  expect([await cay.hasManifest('t'), await cay.hasManifest(again.digest)]).toEqual([true, true])
  expect([cay.hasBytes(own), cay.hasBytes(layer)]).toEqual([false, true])
  expect(counts()).toEqual([1, 1, 1, 2, 2, 0])
  expect(faultsOf(cay)).toEqual([])
})

test('gc: a large repository is removed in many small batches', async () => {
  const image = await pushImage('a', [])
  for (let n = 0; n < 250; n += 50) {
    await cay.pushManifest(
      image,
      Array.from({ length: 50 }, (_, k) => `t${n + k}`),
    )
  }
  await cay.metadata.write('deleteRepository', write('a'))
  cay.wait(10 * DAY + 1)
  const garbageWindow = { graceMs: DAY, windowMs: 10 * DAY, untaggedDays: 0 }
  const call = { at: cay.now(), until: cay.now(), garbageWindow, limit: 100 }
  expect(await cay.metadata.write('collectRepositories', call)).toMatchObject({ tags: 100, more: true })
  expect(await cay.collector.run()).toMatchObject({ tags: 150, repositories: 1 })
  expect(counts()).toEqual([0, 0, 0, 0, 0, 0])
})

test('gc: a repository’s own policy for manifests that never had a tag overrides the setting', async () => {
  for (const repository of ['a', 'b', 'c']) await pushImage(repository, [])
  await cay.metadata.write('changeRepository', { ...write('b'), change: { untaggedDays: 5 } })
  expect(await collectAfter(5 * DAY)).toMatchObject({ manifests: 0 })
  expect(await collectAfter(1)).toMatchObject({ manifests: 1 })
  const image = imageManifest(EMPTY, [layer])
  const there = ['a', 'b', 'c'].map((repository) => cay.hasManifest(image.digest, undefined, repository))
  expect(await Promise.all(there)).toEqual([true, false, true])
})

test('gc: an expired tag is removed, and its manifest a window later', async () => {
  const image = await pushImage('a', ['t', 'kept'])
  const expiresAt = cay.now() + DAY
  await cay.metadata.write('expireTag', { ...write('a'), tag: parseTag('t'), expiresAt })
  expect(await collectAfter(DAY)).toMatchObject({ tags: 1, manifests: 0 })
  await cay.delete('kept')
  expect(await collectAfter(10 * DAY)).toMatchObject({ tags: 0, manifests: 0 })
  expect(await collectAfter(1)).toMatchObject({ manifests: 1 })
  expect(await cay.hasManifest(image.digest)).toBe(false)
})

test('gc: a conversion is removed with its image', async () => {
  const image = await pushImage('a', ['t'])
  const digest = parseDigest(randomBlob(8).digest)
  const source = { manifest: parseDigest(image.digest), tag: parseTag('t') }
  await cay.metadata.write('putConversion', { ...write('a'), ...source, digest, layer: undefined })
  const conversions = () => cay.db.query('select count(*) as n from converted_manifest').get()
  expect(conversions()).toEqual({ n: 1 })
  await cay.delete('t')
  expect(await collectAfter(10 * DAY + 1)).toMatchObject({ manifests: 1 })
  expect(conversions()).toEqual({ n: 0 })
})
