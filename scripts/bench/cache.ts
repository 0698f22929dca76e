import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { type Peer, type PeerName, startPeer } from '../lib/peers.ts'
import { median } from '../lib/percentiles.ts'
import { manifestMediaType } from '../lib/registry.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { type Bench, type Case, type Figures, least, mebibyte, most, observe } from './case.ts'
import { change, filledFolder } from './full-registry.ts'
import {
  download,
  downloadingDuring,
  floor,
  memory,
  paced,
  publish,
  speedOf,
  warmMemory,
  wrk,
  wrkDuring,
} from './load.ts'

const repository = 'bench/app'
const prefix = 'up.example/'
const megabyte = 1_000_000
const clients = 50
const [fast, slow] = [20, 200]
const sharedBytes = 64 * mebibyte
const firstBytes = 50
const evicted = 1000
/** One eviction is too short for a p99 of the requests beside it. */
const evictions = 5
/** Small, because the pulled blobs are as large as all images that they evict. */
const evictedLayerBytes = 2000

/** Pulls through the cache, of what it has and of what it fetches from an upstream. No disk is measured. */
export const cacheCases: Case[] = [
  fill('cache-fill-100', 100, 0.97),
  fill('cache-fill-400', 400, 0.9),
  fill('cache-fill-unlimited', 0, 0.8),
  {
    name: 'cache-first-byte',
    title: () => `first byte of ${firstBytes} blobs of 1 MiB that are not cached, beside the upstream's own`,
    goals: [most('later than direct, ms', 10)],
    once: measureFirstBytes,
  },
  {
    name: 'cache-clients',
    title: () => `${clients} clients pull the big blob, which is not cached, from an upstream of 50 MB/s`,
    goals: [
      most('last client, x of the upstream', 2),
      most('upstream bytes, x', 1.001),
      most('upstream GETs', 1),
      most('slowest first byte, ms', 50),
      most('p99 of small GETs beside, ms', 25),
      most('peak, MiB', 250),
    ],
    once: async (bench, name) => measureClients(await upstreamOf(bench, bench.scale.bigBytes, 50), name),
  },
  {
    name: 'cache-shared',
    title: () =>
      `${clients} clients pull ${sharedBytes / mebibyte} MiB that is not cached: bytes from the upstream`,
    beside: ['docker-registry'],
    goals: [most('upstream bytes, x', 1.001)],
    once: async (bench, name) => measureClients(await upstreamOf(bench, sharedBytes, 0), name),
  },
  {
    name: 'cache-slow-clients',
    title: () => `${fast} clients pull the big blob at 50 MB/s, alone and beside ${slow} that read 1 MB/s`,
    goals: [most('beside slow clients, x', 1.25), most('peak, MiB', 200)],
    once: measureSlowClients,
  },
  hit('cache-hit-tag', 'manifest GET by tag', 'tag', 32),
  hit('cache-hit-digest', 'manifest GET by digest', 'digest', 32),
  hit('cache-hit-blob', 'GET of a blob of 1 MiB', 'blob', 4),
  {
    name: 'cache-eviction',
    title: ({ repositories }) => `eviction of ${evicted} of ${repositories * 10} cached images by each pull`,
    goals: [most('each image, ms', 2), most('p99 of manifest GETs, more than without, ms', 5)],
    once: measureEviction,
  },
]

type Measuring<T> = (peer: Peer, manifest: string, url: string) => Promise<T>

/** Starts nginx as the upstream of an image. It sends at so many MB/s, or as fast as it can if that is 0. */
async function upstreamOf(bench: Bench, size: number, speed: number) {
  const [piece] = await bench.random.pieces(1, size)
  const nginx = await startUpstream(bench, speed)
  const { tag, blob } = await publish(nginx, repository, piece!)
  /** Measures a registry that has pulled the manifest and nothing else yet, by the URLs of the manifest and the blob. */
  const cold = async <T>(name: string, measure: Measuring<T>) => {
    await using folder = await temporaryFolder('bench-cache', memory)
    const options = { data: folder.path, upstream: nginx.registry.address }
    await using peer = await startPeer(bench.executables, name as PeerName, options)
    await fetchWhole(peer, cachedPath(name, tag))
    return await measure(peer, peer.origin + cachedPath(name, tag), peer.origin + cachedPath(name, blob))
  }
  /** Returns how many bytes of the blob each of its requests was sent. */
  const sent = async () => {
    // Its only worker has logged all earlier requests when it has answered another one.
    await fetchWhole(nginx, '/v2/')
    const log = await Bun.file(nginx.accessLog).text()
    return [...log.matchAll(/^GET \S+\/blobs\/\S+ (\d+)$/gm)].map(([, bytes]) => Number(bytes))
  }
  return { piece: piece!, direct: nginx.origin + blob, cold, sent }
}

async function startUpstream(bench: Bench, speed: number): Promise<Peer> {
  return await bench.start('nginx', { data: await bench.folder(memory), bytesPerSecond: speed * megabyte })
}

/** In cay, what is cached begins with the upstream's name. */
function cachedPath(name: string, path: string): string {
  return name === 'docker-registry' ? path : path.replace('/v2/', `/v2/${prefix}`)
}

async function fetchWhole({ registry }: Peer, path: string): Promise<void> {
  await registry.get(path, { accept: `${manifestMediaType}, */*` })
}

/** One client that pulls a blob which is not cached, beside one that pulls it from the upstream. */
function fill(name: string, speed: number, share: number): Case {
  return {
    name,
    title: ({ bigBytes }) =>
      `${bigBytes / mebibyte} MiB that is not cached, from an upstream that sends ${speed || 'unlimited'} MB/s`,
    // The floor reads, hashes, writes and syncs the same bytes.
    beside: speed === 0 ? ['direct', 'floor'] : ['direct'],
    goals: [least('MB/s', share, speed === 0 ? 'floor' : 'direct')],
    prepare: async (bench) => {
      const { piece, direct, cold } = await upstreamOf(bench, bench.scale.bigBytes, speed)
      const folder = await bench.folder(memory)
      const pull = async (url: string) => {
        const { done } = await download([url], piece.size)
        return { 'MB/s': speedOf([piece], done) }
      }
      return async (name) => async () => {
        await warmMemory(2 * piece.size)
        if (name === 'direct') return await pull(direct)
        if (name === 'floor') return { 'MB/s': await floor(folder, [piece]) }
        return await cold(name, (peer, _, url) => observe(peer, () => pull(url)))
      }
    },
  }
}

async function measureFirstBytes(bench: Bench, name: string): Promise<Figures> {
  const upstream = await startUpstream(bench, 0)
  const data = await bench.folder(memory)
  const peer = await bench.start(name, { data, upstream: upstream.registry.address })
  const times: Record<'cold' | 'direct', number[]> = { cold: [], direct: [] }
  for (const piece of await bench.random.pieces(firstBytes, mebibyte)) {
    const { blob, digest } = await publish(upstream, repository, piece)
    await fetchWhole(peer, cachedPath(name, digest))
    times.direct.push((await download([upstream.origin + blob], piece.size)).firstByte)
    times.cold.push((await download([peer.origin + cachedPath(name, blob)], piece.size)).firstByte)
  }
  const [cold, direct] = [median(times.cold), median(times.direct)]
  return { 'first byte, ms': cold, 'direct, ms': direct, 'later than direct, ms': cold - direct }
}

type Upstream = Awaited<ReturnType<typeof upstreamOf>>

/** Many clients that pull one blob while it is being fetched. */
async function measureClients({ piece, cold, sent }: Upstream, name: string): Promise<Figures> {
  return await cold(name, async (peer, manifest, url) => {
    const pull = () => download(Array(clients).fill(url), piece.size)
    const { result, sent: probed } = await wrkDuring(manifest, { script: paced(10) }, pull)
    const gets = await sent()
    return {
      'upstream bytes, x': gets.reduce((sum, bytes) => sum + bytes, 0) / piece.size,
      'upstream GETs': gets.length,
      'last client, ms': result.done,
      'last client, x of the upstream': result.done / (piece.size / 50_000),
      'slowest first byte, ms': result.firstByte,
      'p99 of small GETs beside, ms': probed.p99,
      'peak, MiB': peer.usage().peakRssBytes / mebibyte,
    }
  })
}

async function measureSlowClients(bench: Bench, name: string): Promise<Figures> {
  const { piece, cold } = await upstreamOf(bench, bench.scale.bigBytes, 50)
  const pull = (slowly: <T>(urls: string[], work: () => Promise<T>) => Promise<T>) =>
    cold(name, async (peer, _, url) => {
      const { done } = await slowly(Array(slow).fill(url), () => download(Array(fast).fill(url), piece.size))
      return [done, peer.usage().peakRssBytes / mebibyte] as const
    })
  const [alone] = await pull((_, work) => work())
  const [beside, peak] = await pull((urls, work) => downloadingDuring(urls, '1M', work))
  const figures = { 'alone, ms': alone, 'beside slow clients, ms': beside }
  return { ...figures, 'beside slow clients, x': beside / alone, 'peak, MiB': peak }
}

/** Pulls of cached content beside pulls of pushed content from the same server. */
function hit(name: string, what: string, part: 'tag' | 'digest' | 'blob', connections: number): Case {
  return {
    name,
    title: () => `${what}, ${connections} connections: cached content beside pushed content`,
    goals: [least('cached / pushed', 0.95)],
    prepare: async (bench) => {
      const [piece] = await bench.random.pieces(1, mebibyte)
      const upstream = await startUpstream(bench, 0)
      const paths = await publish(upstream, repository, piece!)
      return async (name) => {
        const data = await bench.folder(memory)
        const peer = await bench.start(name, { data, upstream: upstream.registry.address })
        for (const each of ['tag', 'blob'] as const) await fetchWhole(peer, cachedPath(name, paths[each]))
        const pushed = await publish(peer, 'bench/local', piece!)
        const speed = async (path: string) =>
          (await wrk(peer.origin + path, { connections }, bench.scale.seconds)).perSecond
        const measure = async () => {
          const own = await speed(pushed[part])
          const cached = await speed(cachedPath(name, paths[part]))
          return { 'cached, req/s': cached, 'pushed, req/s': own, 'cached / pushed': cached / own }
        }
        await measure()
        return () => observe(peer, measure)
      }
    },
  }
}

/** How long a full cache makes room, and how long others wait meanwhile. */
async function measureEviction(bench: Bench, name: string): Promise<Figures> {
  const filling = { tagsAManifest: 1, layerBytes: evictedLayerBytes, parent: memory }
  const data = await filledFolder(bench, name, filling)
  const cached = await markAsCached(data)
  // A pulled blob is as large as the images that it evicts.
  const pieces = await bench.random.pieces(evictions, Math.round((cached.bytes / cached.images) * evicted))
  const upstream = await startUpstream(bench, 0)
  // The cache is exactly full, so that nothing is evicted before the pull.
  const env = { CAY_CACHE_BYTES_MAX: String(cached.bytes) }
  const peer = await bench.start(name, { data, upstream: upstream.registry.address, env })
  const count = async () =>
    (await peer.registry.api<{ manifestCount: number }>('GET', '/cache')).manifestCount
  const last = bench.scale.repositories - 1
  const pulled = `${peer.origin}/v2/${prefix}team-${last % 100}/app-${last}/manifests/v1.0`
  const probe = { script: paced(2) }
  const without = await wrk(pulled, probe, bench.scale.seconds)
  const before = await count()
  if (before !== cached.images) throw new Error(`${before} images are cached, not ${cached.images}`)
  const { result: waits, sent } = await wrkDuring(pulled, probe, async () => {
    const waits: number[] = []
    for (const piece of pieces) {
      const { digest, blob } = await publish(upstream, repository, piece)
      // The manifest keeps its layer from being the first that the next pull evicts.
      await fetchWhole(peer, cachedPath(name, digest))
      // The answer waits for the eviction.
      waits.push((await download([peer.origin + cachedPath(name, blob)], piece.size)).firstByte)
    }
    return waits
  })
  const images = before + evictions - (await count())
  const wanted = evictions * evicted
  if (Math.abs(images - wanted) > wanted / 10) throw new Error(`${images} images were evicted, not ${wanted}`)
  return {
    'each image, ms': (median(waits) * evictions) / images,
    'p99 of manifest GETs, without, ms': without.p99,
    'p99 of manifest GETs, beside, ms': sent.p99,
    'p99 of manifest GETs, more than without, ms': sent.p99 - without.p99,
  }
}

/** Turns what was pushed into cached content of one upstream, and writes files for the oldest blobs. */
async function markAsCached(data: string): Promise<{ bytes: number; images: number }> {
  change(data, [
    'DELETE FROM tag_history',
    `UPDATE repository SET upstream = 'up.example', name = '${prefix}' || name`,
    'UPDATE manifest SET used_at = id',
    "UPDATE tag SET checked_at = unixepoch('now') * 1000",
    'UPDATE repository_blob SET is_cached = 1',
  ])
  using database = new Database(join(data, 'cay.db'))
  const oldest = database.query('SELECT lower(hex(digest)) AS hex, size FROM blob ORDER BY id LIMIT ?')
  for (const { hex, size } of oldest.all(evictions * evicted * 2.2) as { hex: string; size: number }[])
    await Bun.write(join(data, 'blobs', 'sha256', hex.slice(0, 2), hex), new Uint8Array(size))
  const sizes = `SELECT (SELECT sum(value) FROM total WHERE name IN ('cache.bytes', 'cache.manifest_bytes')) AS bytes,
    (SELECT count(*) FROM manifest) AS images`
  return database.query(sizes).get() as { bytes: number; images: number }
}
