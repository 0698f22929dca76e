/**
 * Small file systems in memory, which pushes and the cache fill; needs root. `CACHE_FULL_SECONDS=240` pulls through the cache
 * for 240 seconds instead of 16.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'bun:test'
import { closeSync, openSync, rmSync, writeSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { isDigestOf, sha256 } from '../../scripts/lib/image.ts'
import {
  type Answer,
  type Described,
  imageManifest,
  type Registry,
  randomBlob,
  sizeOf,
} from '../../scripts/lib/registry.ts'
import { eventually, whileRepeating } from '../../scripts/lib/repeated.ts'
import { type Server, startServer } from '../../scripts/lib/server.ts'
import { type TemporaryFolder, temporaryFileSystem } from '../../scripts/lib/temporary-folder.ts'
import { checkDatabase, checkDataFolder } from './data-folder.ts'
import { Random, type Sample, Samples, SampleUpstream, seedFrom } from './samples.ts'

const MiB = 1024 * 1024

describe('full disk: a push gets 507 and pulls work:', () => {
  const diskMiB = 24
  const blobBytes = 6 * MiB
  const repository = 'disk/full'
  let disk: TemporaryFolder
  let data: string
  let server: Server
  let registry: Registry
  /** The only blob of an image that was pushed before the disk was full. Its tag is `before`. */
  let before: string
  const free = () => rmSync(join(disk.path, 'filler'), { force: true })

  beforeAll(async () => {
    disk = await temporaryFileSystem(diskMiB)
    data = join(disk.path, 'data')
    server = await startServer({ data })
    registry = server.registry
    before = await registry.pushRandomImage(repository, 'before', MiB)
  })

  beforeEach(free)

  afterAll(async () => {
    await server.stop()
    await disk[Symbol.asyncDispose]()
  })

  /** Leaves so many bytes free. */
  async function fill(bytesLeft: number): Promise<void> {
    const bytes = new Uint8Array(Math.max(0, (await freeBytes(disk.path)) - bytesLeft))
    const file = openSync(join(disk.path, 'filler'), 'w')
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at, bytes.length - at)
    closeSync(file)
  }

  /** Pushes manifests until the database cannot grow. */
  async function fillDatabase(): Promise<void> {
    const { config } = (await registry.get(`/v2/${repository}/manifests/before`)).json<{
      config: Described
    }>()
    for (let bytes = 256 * 1024, count = 0; bytes >= 128; count++) {
      expect(count, 'manifests that are stored on a full disk').toBeLessThan(200)
      const note = Buffer.from(crypto.getRandomValues(new Uint8Array(bytes / 2))).toString('hex')
      const body = imageManifest(config, [], note)
      const answer = await registry.putManifest(repository, sha256(body), body)
      if (answer.status === 201) continue
      expectFull(answer)
      await registry.expect([404], 'GET', `/v2/${repository}/manifests/${sha256(body)}`)
      bytes /= 4
    }
  }

  /** Runs work while the earlier image is pulled again and again. */
  async function whilePulling(work: () => Promise<void>): Promise<void> {
    const pull = async () => {
      await registry.get(`/v2/${repository}/manifests/before`)
      await registry.pullBlob(repository, before)
    }
    await whileRepeating(pull, work)
  }

  test('an upload keeps the part of a chunk that fits, and continues from there', () =>
    whilePulling(async () => {
      const { bytes, digest } = randomBlob(blobBytes)
      const location = await registry.startUpload(repository)
      await fill(blobBytes / 2)
      expectFull(await registry.send('PATCH', location, { body: bytes }))
      const size = sizeOf(await registry.expect([204], 'GET', location))
      expect(size).toBeGreaterThan(0)
      expect(size).toBeLessThan(blobBytes)
      free()
      const headers = { 'content-range': `${size}-${blobBytes - 1}` }
      await registry.expect([202], 'PATCH', location, { body: bytes.subarray(size), headers })
      await registry.closeUpload(location, digest)
      await registry.pullBlob(repository, digest)
    }))

  test('a blob in one request that does not fit leaves nothing behind', () =>
    whilePulling(async () => {
      const { bytes, digest } = randomBlob(blobBytes)
      await fill(blobBytes / 2)
      const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`
      expectFull(await registry.send('POST', path, { body: bytes }))
      expect(await checkDataFolder(data)).toEqual([])
    }))

  test('an upload whose row does not fit keeps its bytes, and can be closed later', () =>
    whilePulling(async () => {
      const { bytes, digest } = randomBlob(blobBytes / 2)
      const location = await registry.startUpload(repository)
      await registry.append(location, bytes)
      await fill(0)
      await fillDatabase()
      expectFull(await registry.send('PUT', `${location}?digest=${digest}`))
      await registry.expect([404], 'HEAD', `/v2/${repository}/blobs/${digest}`)
      expect(sizeOf(await registry.expect([204], 'GET', location))).toBe(bytes.length)
      free()
      await registry.closeUpload(location, digest)
      await registry.pullBlob(repository, digest)
    }))

  test('manifests, a mount and a deletion that do not fit change nothing', () =>
    whilePulling(async () => {
      await fill(0)
      await fillDatabase()
      const mount = `/v2/disk/other/blobs/uploads/?mount=${before}&from=${repository}`
      expectFull(await registry.send('POST', mount))
      expectFull(await registry.send('DELETE', `/v2/${repository}/manifests/before`))
      await registry.get(`/v2/${repository}/manifests/before`)
      expect(checkDatabase(data)).toEqual([])
    }))

  test('with free space again it stores, and after a restart nothing is missing', async () => {
    await registry.pushRandomImage(repository, 'after', MiB)
    await server.stop()
    server = await startServer({ data })
    registry = server.registry
    await registry.get(`/v2/${repository}/manifests/after`)
    expect(await checkDataFolder(data)).toEqual([])
  })
})

function expectFull({ status, text }: Answer): void {
  expect({ status, text }).toEqual({ status: 507, text: expect.stringContaining('disk is full') })
}

async function freeBytes(mount: string): Promise<number> {
  const { bavail, bsize } = await statfs(mount)
  return bavail * bsize
}

/** Each half of the time: with the reserve of free space alone, and then with a cap. */
const halfMilliseconds = Number(process.env.CACHE_FULL_SECONDS ?? 16) * 500
const volumeMiB = 300
/** The images of the upstream have about 3 GiB. */
const images = 160
const layersAnImage = 4
const [layerBytesMin, layerBytesMax] = [2 * MiB, 8 * MiB]
const clients = 4
/** All pushes together stay below 100 MiB, so that there is always room for them. */
const pushesMax = 90
/** Each half lasts until so many images were pulled at least, so that the cache is full for most of it. */
const pullsMin = 50
const lookMs = 50
const capBytes = 120 * MiB
const repository = 'up.example/full/image'

describe('full cache: 3 GiB are pulled through a volume of 300 MiB:', () => {
  let volume: TemporaryFolder
  let data: string
  let upstream: SampleUpstream
  const random = new Random(seedFrom('CACHE_FULL_SEED'))
  const samples = new Samples(random.fork())
  const pushed: Sample[] = []

  beforeAll(async () => {
    volume = await temporaryFileSystem(volumeMiB)
    data = join(volume.path, 'data')
    upstream = new SampleUpstream(samples)
    for (let image = 0; image < images; image++) {
      const make = (min: number, max: number) => upstream.make(random, min + random.below(max - min))
      const layers = Array.from({ length: layersAnImage }, () => make(layerBytesMin, layerBytesMax))
      upstream.addManifest(`v${image}`, imageManifest(make(500, 1500), layers, `image ${image}`))
    }
  }, 60_000)

  afterAll(async () => {
    await upstream.stop()
    await volume[Symbol.asyncDispose]()
  })

  /** Starts the cache, with a setting of its table [cache]. */
  async function startCache(setting: string): Promise<Server> {
    await Bun.write(join(data, 'cay.toml'), upstream.settings(setting))
    return await startServer({ data })
  }

  async function pullImage(registry: Registry, image: number): Promise<void> {
    const manifest = await registry.get(`/v2/${repository}/manifests/v${image}`)
    const { config, layers } = manifest.json<{ config: Sample; layers: Sample[] }>()
    for (const { digest } of [config, ...layers]) await registry.pullBlob(repository, digest)
  }

  /** Pushes an image of 1 MiB, and pulls one that was pushed before. */
  async function push(registry: Registry, pause: number): Promise<void> {
    const sample = samples.make(random, MiB)
    await registry.pushBlob('local/app', sample.digest, samples.bytes(sample))
    await registry.pushManifest('local/app', `v${pushed.length}`, imageManifest(sample, [sample], 'pushed'))
    pushed.push(sample)
    await registry.pullBlob('local/app', random.pick(pushed)!.digest)
    await Bun.sleep(pause)
  }

  /** Checks that the reserve is free, and that the cache exceeds its cap only by blobs that are being fetched. */
  async function look(registry: Registry, bytesMax: number): Promise<void> {
    const free = await freeBytes(volume.path)
    if (free < (volumeMiB * MiB) / 10) throw new Error(`only ${free} bytes of the volume are free`)
    const cached = await cachedBytes(registry)
    if (cached > bytesMax) throw new Error(`${cached} bytes are cached, above ${bytesMax}`)
    await Bun.sleep(lookMs)
  }

  test.each([
    ['without a cap, the reserve of free space', 0, pushesMax / 2],
    ['a lower cap after a restart, and the reserve of free space', capBytes, pushesMax],
  ])(
    '%s is kept; all pulls are whole, pushes stay, a larger blob comes through',
    async (_, cap, pushes) => {
      await using server = await startCache(`bytes-max = ${cap}`)
      const { registry } = server
      const bytesMax = cap || Number.POSITIVE_INFINITY
      await eventually(
        async () => expect(await cachedBytes(registry)).toBeLessThanOrEqual(bytesMax),
        15,
        lookMs,
      )
      const until = performance.now() + halfMilliseconds
      let pulls = 0
      const repeat = async (act: () => Promise<unknown>) => {
        while (performance.now() < until || pulls < pullsMin) await act()
      }
      const pull = async () => {
        await pullImage(registry, random.below(images))
        pulls++
      }
      const pushNext = () =>
        pushed.length < pushes ? push(registry, halfMilliseconds / pushesMax) : Bun.sleep(lookMs)
      const work = [...Array.from({ length: clients }, () => pull), pushNext, () => look(registry, bytesMax)]
      await Promise.all(work.map(repeat))
      await pullLarge(registry)
      for (const { digest } of pushed) await registry.pullBlob('local/app', digest)
    },
    halfMilliseconds + 120_000,
  )

  /** Pulls a blob that is larger than the volume. */
  async function pullLarge(registry: Registry): Promise<void> {
    const large = new Uint8Array((volumeMiB + 20) * MiB)
    for (let at = 0; at < large.length; at += MiB) crypto.getRandomValues(large.subarray(at, at + 64 * 1024))
    const digest = upstream.addBytes(large)
    const { bytes } = await registry.get(`/v2/${repository}/blobs/${digest}`)
    expect(isDigestOf(digest, bytes)).toBe(true)
  }

  test('without a reserve, a push gets the space of everything cached, and 507 only when nothing is cached', async () => {
    await using server = await startCache('free-bytes-min = 0')
    const { registry } = server
    const fullBytes = 3 * layerBytesMax
    for (let pulls = 0; pulls < images && (await freeBytes(volume.path)) > fullBytes; pulls++)
      await pullImage(registry, random.below(images))
    expect(await freeBytes(volume.path)).toBeLessThanOrEqual(fullBytes)
    const { bytes, digest } = randomBlob(Math.round((await cachedBytes(registry)) * 0.8))
    await registry.pushBlob('local/large', digest, bytes)
    await registry.pullBlob('local/large', digest)
    const location = await registry.startUpload('local/large')
    const { status } = await registry.send('PATCH', location, { body: new Uint8Array(volumeMiB * MiB) })
    expect({ status, cached: await cachedBytes(registry) }).toEqual({ status: 507, cached: 0 })
    await registry.expect([204], 'DELETE', location)
  }, 60_000)

  test('at the end nothing is missing, and the database is intact', async () => {
    expect(await checkDataFolder(data)).toEqual([])
  })
})

async function cachedBytes(registry: Registry): Promise<number> {
  return (await registry.api<{ bytes: number }>('GET', '/cache')).bytes
}
