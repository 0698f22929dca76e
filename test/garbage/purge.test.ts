import { afterEach, beforeEach, expect, test } from 'bun:test'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import {
  type CollectedRegistry,
  type CollectedRegistryOptions,
  DAY,
  HOUR,
  openCollectedRegistry,
  PUSHER,
} from '../support/collected-registry.ts'
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
let gate: CollectedRegistryOptions['gate']
beforeEach(async () => {
  gate = undefined
  cay = await openCollectedRegistry({ gate: async (place, name) => await gate?.(place, name) })
})
afterEach(() => cay[Symbol.asyncDispose]())

const A = parseRepositoryName('a')

async function pushImage(tags: string[], repository = 'a') {
  const layer = randomBlob(100)
  for (const blob of [EMPTY, layer]) await cay.pushBlob(blob, repository)
  const image = imageManifest(EMPTY, [layer])
  await cay.pushManifest(image, tags, repository)
  return { image, layer }
}

async function purge(one?: Named) {
  const digest = one && parseDigest(one.digest)
  const purged = await cay.collector.purge(CALLER, { repository: A, digest })
  await cay.collector.run()
  return purged
}

const countOf = (image: Named) =>
  (
    cay.db
      .query('select count(*) as n from manifest where hex(digest) like ?')
      .get(`%${image.digest.slice(7)}`) as {
      n: number
    }
  ).n

test('purge: deleted manifests of a quiet repository free their bytes at once, and tagged ones stay', async () => {
  const deleted = await pushImage(['gone'])
  const kept = await pushImage(['kept'])
  cay.wait(2 * DAY)
  await cay.delete(deleted.image.digest)
  expect(await purge()).toMatchObject({ repositories: 0, manifests: 1, heldUntil: undefined })
  expect([cay.hasBytes(deleted.layer), countOf(deleted.image)]).toEqual([false, 0])
  expect([cay.hasBytes(kept.layer), await cay.hasManifest('kept')]).toEqual([true, true])
})

test('purge: an index that lost its tag is removed with the images that only it lists', async () => {
  const { image, layer } = await pushImage([])
  const index = imageIndex([descriptor(image, OCI_MANIFEST)])
  await cay.pushManifest(index, ['t'])
  const { image: next } = await pushImage(['t'])
  cay.wait(2 * DAY)
  expect(await purge()).toMatchObject({ manifests: 2 })
  expect([countOf(index), countOf(image), cay.hasBytes(layer), countOf(next)]).toEqual([0, 0, false, 1])
})

test('purge: manifests that never had a tag stay', async () => {
  const { image, layer } = await pushImage([])
  cay.wait(2 * DAY)
  expect(await purge()).toMatchObject({ manifests: 0 })
  expect([countOf(image), cay.hasBytes(layer)]).toEqual([1, true])
})

test('purge: a blob that a client which can push has asked for stays for a grace after that', async () => {
  const { image, layer } = await pushImage(['t'])
  cay.wait(2 * DAY)
  expect(await cay.hasBlob(layer, PUSHER)).toBe(true)
  const asked = cay.now()
  await cay.delete(image.digest)
  cay.wait(DAY - HOUR)
  expect(await purge()).toEqual({ repositories: 0, manifests: 1, heldUntil: asked + 2 * DAY })
  expect(cay.hasBytes(layer)).toBe(true)
  cay.wait(2 * HOUR)
  await cay.collector.run()
  expect(cay.hasBytes(layer)).toBe(false)
})

test('purge: an untagged manifest that a client which can push has asked for stays for a grace after that', async () => {
  const { image } = await pushImage(['t'])
  await pushImage(['t'])
  cay.wait(2 * DAY)
  expect(await cay.hasManifest(image.digest, PUSHER)).toBe(true)
  await purge()
  cay.wait(DAY - HOUR)
  await cay.collector.run()
  expect(await cay.hasManifest(image.digest)).toBe(true)
  cay.wait(2 * HOUR)
  await cay.collector.run()
  expect(await cay.hasManifest(image.digest)).toBe(false)
})

for (const place of ['write', 'written'] as const) {
  for (const write of ['expireWindows', 'purgeManifests']) {
    test(`purge: a HEAD by a client that can push while ${write} runs (${place}) keeps the blob for a grace`, async () => {
      const { image, layer } = await pushImage(['t'])
      cay.wait(2 * DAY)
      await cay.delete(image.digest)
      let isThere: boolean | undefined
      gate = async (at, name) => {
        if (at === place && name === write) isThere ??= await cay.hasBlob(layer, PUSHER)
      }
      await purge()
      gate = undefined
      expect([isThere, cay.hasBytes(layer)]).toEqual([true, true])
      await cay.pushManifest(image, ['again'])
    })
  }
}

test('purge: a process that has just started keeps what a push before it may refer to', async () => {
  const { image, layer } = await pushImage(['t'])
  await cay.delete(image.digest)
  cay.wait(DAY - HOUR)
  expect((await purge()).heldUntil).toBeDefined()
  expect(cay.hasBytes(layer)).toBe(true)
})

test('purge: a deleted repository is removed at once, and a new one of the same name stays', async () => {
  const old = await pushImage(['t'])
  cay.wait(2 * DAY)
  await cay.metadata.write('deleteRepository', {
    caller: CALLER,
    at: cay.now(),
    repository: A,
    condition: undefined,
  } as never)
  const { layer } = await pushImage(['t'])
  expect(await purge()).toMatchObject({ repositories: 1, manifests: 0 })
  expect([cay.hasBytes(old.layer), cay.hasBytes(layer)]).toEqual([false, true])
})

test('purge: one manifest is purged by its digest, and nothing else', async () => {
  const one = await pushImage(['one'])
  const other = await pushImage(['other'])
  cay.wait(2 * DAY)
  for (const { image } of [one, other]) await cay.delete(image.digest)
  expect(await purge(one.image)).toMatchObject({ manifests: 1 })
  expect([cay.hasBytes(one.layer), cay.hasBytes(other.layer)]).toEqual([false, true])
})
