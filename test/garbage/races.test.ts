import { expect, test } from 'bun:test'
import { utimes } from 'node:fs/promises'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import {
  type CollectedRegistry,
  DAY,
  type Gate,
  openCollectedRegistry,
  type Place,
  PUSHER,
} from '../support/collected-registry.ts'
import { EMPTY, imageManifest, type Named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { CALLER } from '../support/writes.ts'

interface Stop {
  came: Promise<void>
  pass(): void
  fail(error: Error): void
}

/** Pauses the next caller that reaches a point. */
function stops(): { gate: Gate; stopAt(place: Place, name: string): Stop } {
  const stopped = new Map<string, { come: () => void; passed: Promise<void> }>()
  return {
    async gate(place, name) {
      const stop = stopped.get(`${place} ${name}`)
      stopped.delete(`${place} ${name}`)
      stop?.come()
      await stop?.passed
    },
    stopAt(place, name) {
      const came = Promise.withResolvers<void>()
      const passed = Promise.withResolvers<void>()
      stopped.set(`${place} ${name}`, { come: came.resolve, passed: passed.promise })
      return { came: came.promise, pass: passed.resolve, fail: passed.reject }
    },
  }
}

/** Returns a registry with a collectable blob, and a way to pause the collector or a push. */
async function open() {
  const { gate, stopAt } = stops()
  const cay = await openCollectedRegistry({ gate })
  const blob = randomBlob(100_000)
  await cay.pushBlob(blob)
  cay.wait(DAY + 1)
  return { cay, blob, stopAt, [Symbol.asyncDispose]: () => cay[Symbol.asyncDispose]() }
}

/** Checks that each row has its bytes, and that acknowledged content exists. */
async function expectThere(cay: CollectedRegistry, blob: Named) {
  expect([await cay.hasBlob(blob), cay.hasBytes(blob)]).toEqual([true, true])
  expect(await cay.collector.scan({ removeMany: true })).toMatchObject({ blobs: 1, missing: 0, orphans: 0 })
}

test('gc races: the collector removes the old row after a push has published the bytes', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const published = stopAt('published', blob.digest)
  const push = cay.pushBlob(blob)
  await published.came
  expect(await cay.collector.run()).toMatchObject({ blobs: 1 })
  expect([await cay.hasBlob(blob), cay.hasBytes(blob)]).toEqual([false, true])
  published.pass()
  await push
  await expectThere(cay, blob)
})

test('gc races: a push completes after the collector removed the row and before it removes the bytes', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const taken = stopAt('written', 'collectBlobs')
  const run = cay.collector.run()
  await taken.came
  await cay.pushBlob(blob)
  taken.pass()
  expect(await run).toMatchObject({ blobs: 1 })
  await expectThere(cay, blob)
})

test('gc races: a push that arrives while the bytes are being removed waits and publishes them again', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const removal = stopAt('removal', blob.digest)
  const run = cay.collector.run()
  await removal.came
  let isOver = false
  const push = cay.pushBlob(blob).then(() => {
    isOver = true
  })
  await cay.pushBlob(randomBlob(5), 'other')
  expect(isOver).toBe(false)
  removal.pass()
  await Promise.all([run, push])
  expect([await cay.hasBlob(blob), cay.hasBytes(blob)]).toEqual([true, true])
})

test('gc races: a push that fails after the collector has passed leaves bytes that a scan removes', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const linking = stopAt('write', 'linkBlob')
  const push = failureOf(cay.pushBlob(blob))
  await linking.came
  expect(await cay.collector.run()).toMatchObject({ blobs: 1 })
  linking.fail(new Error('the disk is full'))
  expect((await push).message).toBe('the disk is full')
  expect([await cay.hasBlob(blob), cay.hasBytes(blob)]).toEqual([false, true])
  await utimes(cay.pathOf(blob), 0, 0)
  expect(await cay.collector.scan({ removeMany: true })).toMatchObject({ removed: 1, bytes: 100_000 })
  expect(cay.hasBytes(blob)).toBe(false)
})

test('gc races: two pushes of a blob that is being removed both succeed', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const removal = stopAt('removal', blob.digest)
  const run = cay.collector.run()
  await removal.came
  const pushes = [cay.pushBlob(blob, 'a'), cay.pushBlob(blob, 'b')]
  removal.pass()
  await Promise.all([run, ...pushes])
  expect(await cay.hasBlob(blob, undefined, 'b')).toBe(true)
  await expectThere(cay, blob)
})

test('gc races: a blob that is deleted and pushed concurrently never exists without its bytes', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const [name, digest] = [parseRepositoryName('a'), parseDigest(blob.digest)]
  const published = stopAt('published', blob.digest)
  const push = cay.pushBlob(blob)
  await published.came
  await cay.registry.blobs.delete(CALLER, name, digest)
  expect(await cay.collector.run()).toMatchObject({ blobs: 1 })
  published.pass()
  await push
  await expectThere(cay, blob)
})

test('gc races: a mount finds the blob, or says that it must be pushed', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const mount = { repository: parseRepositoryName('b'), digest: parseDigest(blob.digest), from: undefined }
  const mounting = stopAt('write', 'mountBlob')
  const mounted = cay.registry.blobs.mount(CALLER, PUSHER, mount)
  await mounting.came
  await cay.collector.run()
  mounting.pass()
  expect(await mounted).toBe(false)
  expect(await cay.hasBlob(blob, undefined, 'b')).toBe(false)
})

test('gc races: a blob that is being collected is not found', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const renewal = stopAt('write', 'renewBlob')
  const asked = cay.hasBlob(blob, PUSHER)
  await renewal.came
  await cay.collector.run()
  renewal.pass()
  expect(await asked).toBe(false)
})

test('gc races: a manifest that references a blob being collected is refused; one that came first keeps it', async () => {
  await using all = await open()
  const { cay, blob, stopAt } = all
  const image = imageManifest(EMPTY, [blob])
  await cay.pushBlob(EMPTY)
  const late = stopAt('write', 'putManifest')
  const push = failureOf(cay.pushManifest(image))
  await late.came
  await cay.collector.run()
  late.pass()
  expect((await push).message).toContain('MANIFEST_BLOB_UNKNOWN')
  await cay.pushBlob(blob)
  cay.wait(DAY + 1)
  await cay.pushBlob(EMPTY)
  const early = stopAt('write', 'collectBlobs')
  const run = cay.collector.run()
  await early.came
  await cay.pushManifest(image, ['t'])
  early.pass()
  expect(await run).toMatchObject({ blobs: 0 })
  expect([await cay.hasBlob(blob), cay.hasBytes(blob)]).toEqual([true, true])
})
