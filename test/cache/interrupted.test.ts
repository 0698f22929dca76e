import { expect, test } from 'bun:test'
import type { TestCache } from '../support/cache.ts'
import type { Named } from '../support/content.ts'
import { startSmall } from '../support/small-cache.ts'
import { until } from '../support/until.ts'
import { head, reply } from '../support/upstream.ts'

/** Lets the download of a blob break for good after some bytes. */
async function interrupt(cache: TestCache, { digest, bytes }: Named, received: number) {
  const path = new RegExp(`^GET .*blobs/${digest}`)
  const stored = Promise.withResolvers<void>()
  const start = head(200, { 'content-length': String(bytes.length) })
  cache.fake.on(path, () => reply(404, {}, ''), 1)
  cache.fake.on(path, [start, bytes.subarray(0, received), stored.promise, 'fin'], 1)
  const response = await cache.get(`blobs/${digest}`)
  const downloads = async () => await (await cache.server.fetch('/api/v1/cache/downloads')).text()
  await until(async () => (await downloads()).includes(`"receivedBytes":${received}`))
  stored.resolve()
  await response.bytes().catch(() => {})
  await until(async () => (await show(cache)).downloadCount === 0)
}

const show = async (cache: TestCache) =>
  (await (await cache.server.fetch('/api/v1/cache')).json()) as Record<string, number>

test('cache: an interrupted download counts, also after a restart, and is deleted for a blob that needs the room', async () => {
  await using world = await startSmall()
  const { cache, pull } = world
  const { layer } = cache.fake.putImage('library/app', 'broken', [700_000])
  cache.fake.putImage('library/app', '1', [600_000])
  await interrupt(cache, layer, 500_000)
  expect(await show(cache)).toMatchObject({ partialBytes: 500_000, bytes: 500_000 })
  await cache.restart()
  await until(async () => (await show(cache)).partialBytes === 500_000)
  await pull('1')
  const { partialBytes, bytes } = await show(cache)
  expect(partialBytes).toBe(0)
  expect(bytes).toBeLessThan(700_000)
})

test('cache: resuming a download needs room only for the rest', async () => {
  await using world = await startSmall()
  const { cache, pull } = world
  const { layer } = cache.fake.putImage('library/app', 'broken', [900_000])
  await cache.get('manifests/broken')
  await interrupt(cache, layer, 800_000)
  await pull('broken')
  const { path, headers } = cache.fake
    .requests(/^GET .*blobs/)
    .find(({ headers }) => headers.range !== undefined)!
  expect([path.endsWith(layer.digest), headers.range]).toEqual([true, 'bytes=800000-'])
  await until(async () => (await show(cache)).partialBytes === 0)
})

test('cache: a download that was just interrupted is kept for its next client, and after ten minutes it goes first', async () => {
  await using world = await startSmall()
  const { cache, pull, fetched } = world
  const { layer } = cache.fake.putImage('library/app', 'broken', [400_000])
  for (const [tag, size] of Object.entries({ 1: 300_000, 2: 600_000, 3: 350_000 }))
    cache.fake.putImage('library/app', tag, [size])
  await pull('1')
  await interrupt(cache, layer, 300_000)
  await pull('2')
  expect(await show(cache)).toMatchObject({ partialBytes: 300_000, manifestCount: 1 })
  world.pass(600_000)
  await pull('3')
  expect(await show(cache)).toMatchObject({ partialBytes: 0, manifestCount: 2 })
  const before = fetched()
  await pull('2')
  expect(fetched()).toBe(before)
})
