import { Database } from 'bun:sqlite'
import { expect, test } from 'bun:test'
import { existsSync, truncateSync } from 'node:fs'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openServices } from '../../src/app.ts'
import { loadConfig } from '../../src/config/config.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { startCache } from '../support/cache.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { pushBlob, pushImage, pushManifest } from '../support/push.ts'
import { damageOf, fileOf, jobOf, LAYER_BYTES, scrub, startJob, status } from '../support/scrub.ts'
import { startInProcess, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'
import { AT, link, put, withMetadata } from '../support/writes.ts'

/** A server that verifies only on request, so that its own turns find nothing first. */
const startQuietly = (data?: string) =>
  startInProcess({ settings: { 'scrub.days': '0' }, ...(data !== undefined && { data }) })

test.each([
  [
    'a flipped bit',
    async (file: string, bytes: Uint8Array) => writeFile(file, bytes.with(1000, (bytes[1000] ?? 0) ^ 1)),
  ],
  ['a truncated file', async (file: string) => truncateSync(file, 100)],
  ['a missing file', (file: string) => rm(file)],
])('scrub: %s of a pushed blob is found, hidden, listed, and healed by a push', async (_, harm) => {
  await using server = await startQuietly()
  const layer = randomBlob(LAYER_BYTES)
  const image = imageManifest(EMPTY, [layer])
  await pushImage(server, 'team/app', image, [layer], { reference: 'v1' })
  const good = await pushImage(server, 'other', imageManifest(EMPTY, []), [], { reference: 'v1' })
  await harm(fileOf(server, layer), layer.bytes)

  expect(await scrub(server)).toMatchObject({ damaged: 1, refetched: 0, verified: 3 })
  expect(await (await server.fetch('/metrics')).text()).toContain('cay_damaged_content 1\n')
  expect(await (await server.fetch('/api/v1/storage')).json()).toMatchObject({ damagedCount: 1 })
  expect(await damageOf(server)).toMatchObject([
    { digest: layer.digest, kind: 'blob', neededBy: [{ repository: 'team/app', tag: 'v1' }] },
  ])
  const path = `/v2/team/app/blobs/${layer.digest}`
  expect([await status(server, path, 'HEAD'), await status(server, path)]).toEqual([404, 404])
  expect(await status(server, `/v2/other/manifests/${good.digest}`)).toBe(200)

  await pushBlob(server, 'team/app', layer)
  expect(await (await server.fetch(path)).bytes()).toEqual(layer.bytes)
  expect(await damageOf(server)).toEqual([])
  expect(await scrub(server)).toMatchObject({ damaged: 0, verified: 4 })
})

test('scrub: a damaged file is kept in quarantine, and stays hidden after a restart', async () => {
  await using folder = await temporaryFolder('scrub')
  const data = folder.path
  const layer = randomBlob(LAYER_BYTES)
  {
    await using server = await startQuietly(data)
    await pushImage(server, 'app', imageManifest(EMPTY, [layer]), [layer], { reference: 'v1' })
    await writeFile(fileOf(server, layer), layer.bytes.with(0, (layer.bytes[0] ?? 0) ^ 1))
    await scrub(server)
  }
  expect(existsSync(join(data, 'quarantine', 'sha256', layer.digest.slice(7)))).toBe(true)
  await using again = await startQuietly(data)
  expect(await status(again, `/v2/app/blobs/${layer.digest}`, 'HEAD')).toBe(404)
})

test('scrub: damaged bytes in the database are found and healed by a push', async () => {
  await using folder = await temporaryFolder('scrub')
  const data = folder.path
  const config = randomBlob(500)
  const image = imageManifest(config, [])
  {
    await using server = await startQuietly(data)
    await pushImage(server, 'app', image, [config], { reference: 'v1' })
  }
  {
    using db = new Database(join(data, 'cay.db'))
    db.run('pragma busy_timeout = 10000')
    db.run('update blob_bytes set bytes = zeroblob(500) where length(bytes) = 500')
    db.run('update manifest_bytes set bytes = zeroblob(length(bytes))')
  }
  await using server = await startQuietly(data)
  expect(await scrub(server)).toMatchObject({ damaged: 2 })
  expect((await damageOf(server)).map(({ kind, neededBy }) => [kind, neededBy])).toEqual([
    ['manifest', [{ repository: 'app', tag: 'v1' }]],
    ['blob', [{ repository: 'app', tag: 'v1' }]],
  ])
  expect(await status(server, '/v2/app/manifests/v1', 'HEAD')).toBe(404)
  await pushBlob(server, 'app', config)
  await pushManifest(server, 'app', image, { reference: 'v1' })
  expect(await (await server.fetch('/v2/app/manifests/v1')).bytes()).toEqual(image.bytes)
  expect(await (await server.fetch(`/v2/app/blobs/${config.digest}`)).bytes()).toEqual(config.bytes)
  expect(await damageOf(server)).toEqual([])
})

test('scrub: damaged cached content is fetched again by the next pull', async () => {
  await using cache = await startCache({ settings: { 'scrub.days': '0' } })
  const { layer, manifest } = cache.fake.putImage('library/app', '1', [LAYER_BYTES])
  const pull = async () => [
    await (await cache.get('manifests/1')).bytes(),
    await (await cache.get(`blobs/${layer.digest}`)).bytes(),
  ]
  expect(await pull()).toEqual([manifest.bytes, layer.bytes])
  await until(() => existsSync(fileOf(cache.server, layer)))
  await writeFile(fileOf(cache.server, layer), layer.bytes.with(7, (layer.bytes[7] ?? 0) ^ 1))
  expect(await scrub(cache.server)).toMatchObject({ damaged: 0, refetched: 1 })
  expect(await pull()).toEqual([manifest.bytes, layer.bytes])
  expect(await damageOf(cache.server)).toEqual([])
  {
    using db = new Database(join(cache.server.data, 'cay.db'))
    db.run('pragma busy_timeout = 10000')
    db.run('update manifest_bytes set bytes = zeroblob(length(bytes))')
  }
  expect(await scrub(cache.server)).toMatchObject({ damaged: 0, refetched: 1 })
  expect(await pull()).toEqual([manifest.bytes, layer.bytes])
  expect(await damageOf(cache.server)).toEqual([])
})

test('scrub: a pass counts only what it has verified itself, also beside another one', async () => {
  await using folder = await temporaryFolder('scrub')
  {
    await using server = await startQuietly(folder.path)
    for (let at = 0; at < 5; at++) await pushBlob(server, 'app', randomBlob(LAYER_BYTES))
  }
  const { config, settingSources } = await loadConfig({
    flags: { data: folder.path, 'scrub.days': '0' },
    file: undefined,
    environment: {},
  })
  const services = await openServices(config, openMemoryLog().log, { onFailure: () => {}, settingSources })
  const pass = () => services.scrub.all(new AbortController().signal, () => {})
  const counts = await Promise.all([pass(), pass()]).finally(() => services.close())
  expect(counts.map(({ verified }) => verified)).toEqual([5, 5])
})

/** A server that takes half a minute to verify the one layer that it has. */
async function startSlowly(): Promise<TestServer> {
  const server = await startInProcess({ settings: { 'scrub.bytes-per-second-max': '65536' } })
  await pushBlob(server, 'app', randomBlob(2_000_000))
  return server
}

test('scrub: a job that is verifying a large blob is cancelled at once', async () => {
  await using server = await startSlowly()
  const { id } = await startJob(server)
  await until(async () => (await jobOf(server, id)).state === 'running')
  await server.fetch(`/api/v1/jobs/${id}/cancel`, { method: 'POST' })
  await until(async () => (await jobOf(server, id)).state === 'cancelled')
})

test('scrub: the server stops while a large blob is verified, and logs no error', async () => {
  const server = await startSlowly()
  const { id } = await startJob(server)
  await until(async () => (await jobOf(server, id)).state === 'running')
  await server.stop()
  expect(server.log().filter(({ level }) => level === 'error' || Number(level) >= 50)).toEqual([])
})

test('scrub: a manifest that was pushed or collected since it was read is not damaged', async () => {
  await using folder = await temporaryFolder('scrub')
  const image = imageManifest(EMPTY, [])
  const digest = parseDigest(image.digest)
  const found = { digest, size: image.bytes.length, at: AT }
  const bytes = Uint8Array.from(image.bytes)
  await withMetadata(folder.path, async (metadata) => {
    const quarantine = async (read: Uint8Array | undefined) =>
      (await metadata.write('quarantineManifest', { ...found, bytes: read })).isDamaged
    const isHere = () => metadata.manifests.findBytes(digest) !== undefined
    expect(await quarantine(undefined)).toBe(false)
    expect(await metadata.damage.count()).toBe(0)
    await metadata.write(...link('app', EMPTY))
    await metadata.write(...put('app', image, ['v1']))
    expect([await quarantine(undefined), await quarantine(bytes.with(0, 0)), isHere()]).toEqual([
      false,
      false,
      true,
    ])
    expect([await quarantine(bytes), isHere(), await metadata.damage.count()]).toEqual([true, false, 1])
  })
})
