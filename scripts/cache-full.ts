import { ok } from 'node:assert/strict'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { throwFaults } from './lib/cases.ts'
import { isDigestOf } from './lib/image.ts'
import { imageManifest, type Registry, randomBlob } from './lib/registry.ts'
import { eventually } from './lib/repeated.ts'
import { type Server, startServer } from './lib/server.ts'
import { temporaryFileSystem } from './lib/temporary-folder.ts'
import { checkDataFolder } from './soak/data-folder.ts'
import { Random } from './soak/random.ts'
import { SampleUpstream } from './soak/sample-upstream.ts'
import { type Sample, Samples } from './soak/samples.ts'

const MiB = 1024 * 1024
const volumeMiB = 300
/** The images of the upstream have about 3 GiB. */
const images = 160
const layersAnImage = 4
const [layerBytesMin, layerBytesMax] = [2 * MiB, 8 * MiB]
const clients = 4
/** All pushes together stay below 100 MiB, so that there is always room for them. */
const pushesMax = 90
const pushBytes = MiB

/** How many images are pulled at least in each half of the time, so that the cache is full for most of it. */
const pullsMin = 50
const lookMs = 50
const capBytes = 120 * MiB
const startSecondsMax = 15
const [upstreamName, repository] = ['up.example', 'up.example/full/image']

/** A volume that the cache fills, and the faults that were found. */
interface World {
  mount: string
  data: string
  upstream: SampleUpstream
  samples: Samples
  random: Random
  pushed: Sample[]
  pulls: number
  freeBytesMin: number
}

/**
 * `cache-full [--seconds 60]`: pulls 3 GiB of images at random through a cache on a volume of 300 MiB, with pushes beside,
 * first with the reserve of free space alone, and then with a cap. Every pull must be whole, pushed content must stay, and
 * the reserve and the cap must be kept. A blob larger than the volume must come through. Without a reserve, pushes get the
 * space of everything that is cached. Needs Linux and root, for a tmpfs.
 * @throws Error with the first violation
 */
export async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: { seconds: { type: 'string', default: '60' } } })
  const milliseconds = Number(values.seconds) * 1000
  if (!(milliseconds > 0)) throw new Error('usage: cache-full [--seconds 60]')
  await using volume = await temporaryFileSystem(volumeMiB)
  const random = new Random(crypto.getRandomValues(new Uint32Array(1))[0] ?? 0)
  const samples = new Samples(random.fork())
  const upstream = new SampleUpstream(samples, 0)
  try {
    addImages(upstream, samples, random)
    const data = join(volume.path, 'data')
    const world: World = {
      mount: volume.path,
      data,
      upstream,
      samples,
      random,
      pushed: [],
      pulls: 0,
      freeBytesMin: Number.POSITIVE_INFINITY,
    }
    console.log(await fill(world, milliseconds / 2, 0, pushesMax / 2))
    console.log(await fill(world, milliseconds / 2, capBytes, pushesMax))
    console.log(await pushIntoFull(world))
    throwFaults(await checkDataFolder(data, new Set()))
    console.log('nothing is missing, and the database is intact')
  } finally {
    await upstream.stop()
  }
}

function addImages(upstream: SampleUpstream, samples: Samples, random: Random): void {
  for (let image = 0; image < images; image++) {
    const make = (min: number, max: number) => {
      const sample = samples.make(random, min + random.below(max - min))
      upstream.add(sample)
      return sample
    }
    const config = make(500, 1500)
    const layers = Array.from({ length: layersAnImage }, () => make(layerBytesMin, layerBytesMax))
    upstream.addManifest(`v${image}`, imageManifest(config, layers, `image ${image}`))
  }
}

/** Starts a cache in front of the upstream, with a setting of its table [cache]. */
async function startCache(data: string, upstream: SampleUpstream, setting: string): Promise<Server> {
  const settings = `[[upstream]]\nname = "${upstreamName}"\nurl = "http://${upstream.address}"\n`
  await Bun.write(join(data, 'cay.toml'), `${settings}[cache]\n${setting}\n`)
  return await startServer({ data })
}

/** Pulls for a while, and pushes until there are `pushes` images. `bytesMax` is the cap of the cache; 0 means none. */
async function fill(world: World, milliseconds: number, bytesMax: number, pushes: number): Promise<string> {
  const { data, upstream } = world
  await using server = await startCache(data, upstream, `bytes-max = ${bytesMax}`)
  const { registry } = server
  const state = { over: false }
  if (bytesMax > 0) await untilWithin(registry, bytesMax)
  const pulls = world.pulls
  const work = [
    ...Array.from({ length: clients }, () => pullImages(world, registry, state)),
    pushSometimes(world, registry, { state, pushes, pauseMs: milliseconds / pushesMax }),
    watchRoom(world, registry, bytesMax, state),
  ]
  const working = Promise.all(work)
  try {
    await Promise.race([Bun.sleep(milliseconds), working])
  } finally {
    state.over = true
    await working
  }
  const whole = world.pulls - pulls
  if (whole < pullsMin) throw new Error(`only ${whole} images were pulled`)
  await pullLarge(world, registry)
  for (const { digest } of world.pushed) await registry.pullBlob('local/app', digest)
  const free = Math.round(world.freeBytesMin / MiB)
  const cap = bytesMax === 0 ? 'no cap' : `a cap of ${bytesMax / MiB} MiB`
  return (
    `${cap}: ${whole} pulls of images were whole, ${world.pushed.length} pushed images stayed, ` +
    `at least ${free} MiB were free, and a blob larger than the volume came through`
  )
}

async function pullImages(world: World, registry: Registry, state: { over: boolean }): Promise<void> {
  const random = world.random.fork()
  while (!state.over) {
    await pullImage(registry, random.below(images))
    world.pulls++
  }
}

async function pullImage(registry: Registry, image: number): Promise<void> {
  const manifest = await registry.get(`/v2/${repository}/manifests/v${image}`)
  const { config, layers } = manifest.json<Record<string, Sample[]>>()
  for (const { digest } of [config, layers].flat() as Sample[]) await registry.pullBlob(repository, digest)
}

/** Pushes images of 1 MiB, and pulls one that was pushed before. */
async function pushSometimes(
  { samples, random, pushed }: World,
  registry: Registry,
  { state, pushes, pauseMs }: { state: { over: boolean }; pushes: number; pauseMs: number },
): Promise<void> {
  const own = random.fork()
  while (!state.over && pushed.length < pushes) {
    const sample = samples.make(own, pushBytes)
    await registry.pushBlob('local/app', sample.digest, samples.bytes(sample))
    await registry.pushManifest('local/app', `v${pushed.length}`, imageManifest(sample, [sample], 'pushed'))
    pushed.push(sample)
    await registry.pullBlob('local/app', own.pick(pushed)?.digest ?? '')
    await Bun.sleep(pauseMs)
  }
}

/** Checks again and again that the reserve is free, and that the cache exceeds its cap only by blobs that are being fetched. */
async function watchRoom(world: World, registry: Registry, bytesMax: number, state: { over: boolean }) {
  const reserve = (volumeMiB * MiB) / 10
  while (!state.over) {
    const free = await freeBytes(world.mount)
    world.freeBytesMin = Math.min(world.freeBytesMin, free)
    if (free < reserve) throw new Error(`only ${free} bytes of the volume are free, not ${reserve}`)
    const cached = await cachedBytes(registry)
    if (bytesMax > 0 && cached > bytesMax) throw new Error(`${cached} bytes are cached, above ${bytesMax}`)
    await Bun.sleep(lookMs)
  }
}

/** Expects the cache to shrink below a lower cap soon after the start. */
async function untilWithin(registry: Registry, bytesMax: number): Promise<void> {
  const look = async () => ok((await cachedBytes(registry)) <= bytesMax, 'the cache stays above its new cap')
  await eventually(look, startSecondsMax, lookMs)
}

async function freeBytes(mount: string): Promise<number> {
  const { bavail, bsize } = await statfs(mount)
  return bavail * bsize
}

async function cachedBytes(registry: Registry): Promise<number> {
  return (await registry.api<{ bytes: number }>('GET', '/cache')).bytes
}

/** Fills the volume with cached blobs, and pushes a blob that needs most of their space, and one that needs too much. */
async function pushIntoFull({ data, mount, upstream, random }: World): Promise<string> {
  await using server = await startCache(data, upstream, 'free-bytes-min = 0')
  const { registry } = server
  const fullBytes = 3 * layerBytesMax
  for (let pulls = 0; pulls < images && (await freeBytes(mount)) > fullBytes; pulls++)
    await pullImage(registry, random.below(images))
  const free = await freeBytes(mount)
  if (free > fullBytes) throw new Error(`the cache leaves ${free} bytes free without a reserve`)
  const cached = await cachedBytes(registry)
  const { bytes, digest } = randomBlob(Math.round(cached * 0.8))
  await registry.pushBlob('local/large', digest, bytes)
  await registry.pullBlob('local/large', digest)
  const location = await registry.startUpload('local/large')
  const { status } = await registry.send('PATCH', location, { body: new Uint8Array(volumeMiB * MiB) })
  const left = await cachedBytes(registry)
  if (status !== 507 || left > 0) throw new Error(`a push gets ${status}, and ${left} bytes stay cached`)
  await registry.expect([204], 'DELETE', location)
  const [full, pushed] = [cached, bytes.length].map((size) => Math.round(size / MiB))
  return `no reserve: ${pushed} MiB were pushed into ${full} MiB of cached content, and 507 came when nothing was cached`
}

/** Pulls a blob that cannot be stored. */
async function pullLarge({ upstream }: World, registry: Registry): Promise<void> {
  const large = new Uint8Array((volumeMiB + 20) * MiB)
  for (let at = 0; at < large.length; at += MiB) crypto.getRandomValues(large.subarray(at, at + 64 * 1024))
  const digest = upstream.addBytes(large)
  const { bytes } = await registry.get(`/v2/${repository}/blobs/${digest}`)
  if (!isDigestOf(digest, bytes)) throw new Error('the large blob is served with other bytes')
}
