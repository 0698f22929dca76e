import { afterEach, beforeEach, expect, test } from 'bun:test'
import { type CollectedRegistry, DAY, HOUR, openCollectedRegistry } from '../support/collected-registry.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'

let cay: CollectedRegistry
beforeEach(async () => {
  cay = await openCollectedRegistry()
  cay.wait(DAY)
})
afterEach(() => cay[Symbol.asyncDispose]())

async function collectAfter(ms: number) {
  cay.wait(ms)
  return await cay.collector.run()
}

test('gc clock: one wrong reading deletes nothing, then or later, even though recorded time stays ahead', async () => {
  const layer = randomBlob(100)
  for (const blob of [EMPTY, layer]) await cay.pushBlob(blob)
  const image = imageManifest(EMPTY, [layer])
  await cay.pushManifest(image, ['t'])
  const fresh = randomBlob(20)
  await cay.delete('t')
  await cay.pushBlob(fresh)
  await collectAfter(DAY / 2)
  cay.clock.wall += 9 * DAY
  expect(await collectAfter(HOUR)).toMatchObject({ manifests: 0, blobs: 0 })
  cay.clock.wall -= 9 * DAY
  expect(cay.now()).toBeGreaterThan(cay.clock.wall + 8 * DAY)
  expect(await collectAfter(DAY / 2 - HOUR)).toMatchObject({ manifests: 0, blobs: 0 })
  expect(await collectAfter(1)).toMatchObject({ manifests: 0, blobs: 1 })
  expect(await collectAfter(9 * DAY - 1)).toMatchObject({ manifests: 0 })
  expect([await cay.hasManifest(image.digest), await cay.hasBlob(layer)]).toEqual([true, true])
  expect(await collectAfter(1)).toMatchObject({ manifests: 1 })
})

test('gc clock: a clock that was set forward is accepted after a grace period', async () => {
  await cay.pushBlob(randomBlob(10))
  cay.clock.wall += 365 * DAY
  for (const ms of [0, DAY - 1]) expect(await collectAfter(ms)).toMatchObject({ blobs: 0 })
  expect(await collectAfter(1)).toMatchObject({ blobs: 1 })
})

test('gc clock: nothing is collected while the clock is behind recorded time', async () => {
  await cay.pushBlob(randomBlob(10))
  cay.clock.wall = 0
  expect(await collectAfter(30 * DAY)).toMatchObject({ blobs: 0 })
})
