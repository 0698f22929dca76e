import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { type Peer, startPeer } from '../../lib/peers.ts'
import { median, percentile } from '../../lib/percentiles.ts'
import { Registry } from '../../lib/registry.ts'
import { temporaryFolder } from '../../lib/temporary-folder.ts'
import { absolute, type Bench, type Case } from '../lib/case.ts'
import { fillMetadata } from '../lib/filled-metadata.ts'
import type { Row } from '../lib/measurement.ts'
import { probing } from '../lib/waits.ts'
import { type Content, makeContent, memory, repository } from './content.ts'
import { bringLoad } from './load.ts'

const evicted = 1000
/** One eviction is too short for a p99 of the requests beside it. */
const pulls = 5
/** Small, because the pulled blobs are as large as all images that they evict. */
const layerBytes = 2000
const pauseMs = 2
const quietMs = 2000
const image = 'cay, for each image'
const extra = 'p99 of manifest GETs, more than without'

/** Measures how long a full cache makes room, and how long others wait meanwhile. */
export const cacheEvictionCases: Case[] = [
  {
    name: 'cache-eviction',
    title: ({ repositories }) =>
      `eviction of ${evicted.toLocaleString('en')} of ${(repositories * 10).toLocaleString('en')} cached images`,
    unit: 'ms',
    reference: image,
    targets: [absolute(image, 'at most', 2), absolute(extra, 'at most', 5)],
    run: measure,
  },
]

async function measure({ executables, scale }: Bench): Promise<Row[]> {
  const load = await bringLoad()
  await using folder = await temporaryFolder('bench-eviction', memory)
  await fillMetadata(executables, folder.path, scale.repositories, { tagsAManifest: 1, layerBytes })
  const cached = await markAsCached(folder.path)
  // A pulled blob is as large as the images that it evicts.
  const size = Math.round((cached.bytes / cached.images) * evicted)
  await using first = await makeContent(size)
  const contents = [first]
  await using others = new AsyncDisposableStack()
  while (contents.length < pulls) contents.push(others.use(await makeContent(size, first.folder)))
  await using upstream = await load.serve(first.folder, 0)
  await using peer = await startPeer(executables, 'cay', {
    data: folder.path,
    upstream: upstream.address,
    // The cache is exactly full, so that nothing is evicted before the pull.
    env: { CAY_CACHE_BYTES_MAX: String(cached.bytes) },
  })
  const last = scale.repositories - 1
  const path = `/v2/up.example/team-${last % 100}/app-${last}/manifests/v1.0`
  const probe = { path, pauseMs }
  const without = await probing(peer.port, probe, () => Bun.sleep(quietMs))
  const before = await countImages(peer)
  if (before !== cached.images) throw new Error(`${before} images are cached, not ${cached.images}`)
  const pulled: number[] = []
  const beside = await probing(peer.port, probe, async () => {
    for (const content of contents) pulled.push(await pull(peer, content))
  })
  const images = before + pulls - (await countImages(peer))
  const wanted = pulls * evicted
  if (Math.abs(images - wanted) > wanted / 10) throw new Error(`${images} images were evicted, not ${wanted}`)
  const [p99, p99Without] = [beside, without].map(({ latencies }) => percentile(latencies, 0.99))
  return [
    { name: image, value: (median(pulled) * pulls) / images, note: `${images} by ${pulls} pulls` },
    { name: 'p99 of manifest GETs, without', value: p99Without ?? Number.NaN },
    { name: 'p99 of manifest GETs, beside', value: p99 ?? Number.NaN, note: `${beside.latencies.length}` },
    { name: extra, value: (p99 ?? Number.NaN) - (p99Without ?? Number.NaN) },
  ]
}

/** Pulls an image. Returns how many milliseconds its layer's response took, which waits for the eviction. */
async function pull({ port }: Peer, { paths, size }: Content): Promise<number> {
  const name = `http://127.0.0.1:${port}/v2/up.example/${repository}`
  // The manifest keeps its layer from being the first that the next pull evicts.
  const manifest = await fetch(`${name}/${paths.manifest}`)
  await manifest.bytes()
  const began = performance.now()
  const layer = await fetch(`${name}/${paths.layer}`)
  const milliseconds = performance.now() - began
  const { length } = await layer.bytes()
  if (!manifest.ok || length !== size)
    throw new Error(`GET ${paths.layer}: ${manifest.status}, ${layer.status}`)
  return milliseconds
}

/** Turns what was pushed into cached content of one upstream, and writes files for the oldest blobs. */
async function markAsCached(data: string): Promise<{ bytes: number; images: number }> {
  using database = new Database(join(data, 'cay.db'))
  const statements = [
    'PRAGMA journal_mode = MEMORY',
    'DELETE FROM tag_history',
    "UPDATE repository SET upstream = 'up.example', name = 'up.example/' || name",
    'UPDATE manifest SET used_at = id',
    "UPDATE tag SET checked_at = unixepoch('now') * 1000",
    'UPDATE repository_blob SET is_cached = 1',
    'PRAGMA journal_mode = WAL',
  ]
  for (const statement of statements) database.run(statement)
  const oldest = database.query('SELECT lower(hex(digest)) AS hex, size FROM blob ORDER BY id LIMIT ?')
  for (const { hex, size } of oldest.all(pulls * evicted * 2.2) as { hex: string; size: number }[])
    await Bun.write(join(data, 'blobs', 'sha256', hex.slice(0, 2), hex), new Uint8Array(size))
  const sum = database
    .query("SELECT sum(value) AS value FROM total WHERE name IN ('cache.bytes', 'cache.manifest_bytes')")
    .get() as { value: number }
  const images = database.query('SELECT count(*) AS value FROM manifest').get() as { value: number }
  return { bytes: sum.value, images: images.value }
}

async function countImages({ port }: Peer): Promise<number> {
  const registry = new Registry(`127.0.0.1:${port}`)
  return (await registry.api<{ manifestCount: number }>('GET', '/cache')).manifestCount
}
