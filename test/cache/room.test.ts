import { expect, test } from 'bun:test'
import { rename, symlink } from 'node:fs/promises'
import { startCache } from '../support/cache.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { startSmall } from '../support/small-cache.ts'
import { until } from '../support/until.ts'
import { reply } from '../support/upstream.ts'

test('cache: the least recently used image is evicted, as a whole', async () => {
  await using world = await startSmall()
  const { cache, pull, fetched } = world
  for (const tag of ['1', '2', '3']) cache.fake.putImage('library/app', tag, [200_000, 200_000])
  await pull('1')
  await pull('2')
  await pull('1')
  await pull('3')
  const before = fetched()
  await pull('1')
  await pull('3')
  expect(fetched()).toBe(before)
  await pull('2')
  expect(fetched()).toBe(before + 3)
})

test('cache: pushed content is never evicted, even if it was cached before', async () => {
  await using world = await startSmall()
  const { cache, pull } = world
  const { server } = cache
  const layer = randomBlob(600_000)
  const mine = await pushImage(server, 'mine', imageManifest(EMPTY, [layer]), [layer], { reference: '1' })
  for (const tag of ['1', '2', '3', '4']) {
    cache.fake.putImage('library/app', tag, [400_000])
    await pull(tag)
  }
  expect((await server.fetch(`/v2/mine/manifests/${mine.digest}`)).status).toBe(200)
  const blob = await server.fetch(`/v2/mine/blobs/${layer.digest}`)
  expect(Buffer.from(await blob.bytes()).equals(layer.bytes)).toBe(true)
})

test('cache: a blob that is larger than the cache is passed through without being stored', async () => {
  await using world = await startSmall()
  const { cache, pull, fetched } = world
  cache.fake.putImage('library/app', 'large', [1_500_000])
  await pull('large', { isStored: false })
  await pull('large', { isStored: false })
  expect(fetched()).toBe(3)
})

test('cache: a blob that is passed through is verified, too', async () => {
  await using world = await startSmall()
  const { cache } = world
  const { layer } = cache.fake.putImage('library/app', 'large', [1_500_000])
  await cache.get('manifests/large')
  cache.fake.on(/^GET .*blobs/, () => reply(200, {}, randomBlob(1_500_000).bytes))
  const response = await cache.get(`blobs/${layer.digest}`)
  let failed = false
  await response.bytes().catch(() => {
    failed = true
  })
  expect(failed).toBe(true)
})

test('cache: a delete evicts at once, and the next pull fetches again', async () => {
  await using world = await startSmall()
  const { cache, pull, fetched } = world
  const { manifest, layer } = cache.fake.putImage('library/app', '1', [200_000])
  await pull('1')
  expect((await cache.get(`manifests/${manifest.digest}`, { method: 'DELETE' })).status).toBe(202)
  await pull('1')
  expect(fetched()).toBe(4)
  expect((await cache.get(`blobs/${layer.digest}`)).status).toBe(200)
})

test('cache: a delete of a blob evicts at once, and leaves no empty repository', async () => {
  await using world = await startSmall()
  const { cache, stored } = world
  const layer = randomBlob(200_000)
  cache.fake.putBlob('library/app', layer)
  const isStored = async () => {
    const response = await cache.get(`blobs/${layer.digest}`)
    await response.bytes()
    return response.headers.has('content-length')
  }
  await until(isStored)
  expect((await cache.get(`blobs/${layer.digest}`, { method: 'DELETE' })).status).toBe(202)
  expect(await stored(layer.digest).exists()).toBe(false)
  expect(await (await cache.server.fetch('/v2/_catalog')).json()).toEqual({ repositories: [] })
})

test('cache: bytes that are missing on the disk are fetched again', async () => {
  await using world = await startSmall()
  const { cache, pull, stored } = world
  const { layer } = cache.fake.putImage('library/app', '1', [200_000])
  await pull('1')
  await stored(layer.digest).delete()
  await pull('1')
  await pull('1')
})

test('cache: bytes that are missing on the disk are fetched again, also if another repository has the blob', async () => {
  await using world = await startSmall()
  const { cache, pull, stored } = world
  const { layer, config, manifest } = cache.fake.putImage('library/app', '1', [200_000])
  for (const blob of [config, layer]) cache.fake.putBlob('library/other', blob)
  cache.fake.putManifest('library/other', '1', manifest)
  await pull('1')
  await pull('1', { repository: 'library/other' })
  await stored(layer.digest).delete()
  await pull('1')
  await pull('1', { repository: 'library/other' })
})

test('cache: a blob that the disk cannot read now is not evicted, and is served once the disk can read it', async () => {
  await using world = await startSmall()
  const { cache, pull, stored, fetched } = world
  const { layer } = cache.fake.putImage('library/app', '1', [200_000])
  await pull('1')
  const { name = '' } = stored(layer.digest)
  const before = fetched()
  await rename(name, `${name}.aside`)
  // Opening it fails with ELOOP.
  await symlink(name, name)
  expect((await cache.get(`blobs/${layer.digest}`)).status).toBe(500)
  await rename(`${name}.aside`, name)
  const response = await cache.get(`blobs/${layer.digest}`)
  expect(Buffer.from(await response.bytes()).equals(layer.bytes)).toBe(true)
  expect(fetched()).toBe(before)
})

test('cache: a lower cap after a restart takes effect at once, before the first pull', async () => {
  let now = Date.UTC(2026, 0, 1)
  await using cache = await startCache({ cache: 'bytes-max = 1_000_000', now: () => now })
  const cached = async () =>
    ((await (await cache.server.fetch('/api/v1/cache')).json()) as { bytes: number }).bytes
  for (const tag of ['1', '2']) {
    const { layer } = cache.fake.putImage('library/app', tag, [300_000])
    await cache.get(`manifests/${tag}`)
    await (await cache.get(`blobs/${layer.digest}`)).bytes()
  }
  const full = async () => (await cached()) > 600_000
  await until(full)
  now += 60_000
  await cache.restart({ cache: 'bytes-max = 400_000' })
  await until(async () => !(await full()))
  expect(await cached()).toBeGreaterThan(300_000)
  expect((await cache.get('manifests/2')).status).toBe(200)
})

test('cache: manifests count, and the oldest are evicted before another one is stored', async () => {
  await using world = await startSmall()
  const { cache } = world
  const shown = async () => await (await cache.server.fetch('/api/v1/cache')).json()
  const large = (tag: string) => {
    const config = randomBlob(10)
    cache.fake.putBlob('library/app', config)
    const manifest = imageManifest(config, [], { annotations: { filler: '-'.repeat(300_000) } })
    cache.fake.putManifest('library/app', tag, manifest)
    return manifest.bytes.length
  }
  const sizes = ['1', '2', '3', '4'].map(large)
  for (const tag of ['1', '2', '3', '1', '4']) await world.pull(tag)
  const manifestBytes = sizes.reduce((sum, size) => sum + size, 0) - (sizes[1] ?? 0)
  expect(await shown()).toMatchObject({ manifestCount: 3, manifestBytes, bytes: manifestBytes + 30 })
  for (const tag of ['1', '3', '4']) await cache.get(`manifests/${tag}`)
  expect(cache.fake.requests(/^GET .*manifests/).length).toBe(4)
})

test('cache: a manifest that states a size evicts nothing until the upstream confirms it', async () => {
  await using world = await startSmall()
  const { cache, pull, fetched } = world
  for (const tag of ['1', '2']) {
    cache.fake.putImage('library/app', tag, [400_000])
    await pull(tag)
  }
  const missing = randomBlob(900_000)
  cache.fake.putManifest('library/app', 'hostile', imageManifest(EMPTY, [missing]))
  expect((await cache.get('manifests/hostile')).status).toBe(200)
  expect((await cache.get(`blobs/${missing.digest}`)).status).toBe(404)
  const before = fetched()
  for (const tag of ['1', '2']) await pull(tag)
  expect(fetched()).toBe(before)
})
