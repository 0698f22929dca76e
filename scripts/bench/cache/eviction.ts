import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { type Peer, startPeer } from '../../lib/peers.ts'
import { temporaryFolder } from '../../lib/temporary-folder.ts'
import { absolute, type Bench, type Case } from '../case.ts'
import { fillMetadata } from '../filled-metadata.ts'
import type { Row } from '../measurement.ts'
import { percentile } from '../percentiles.ts'
import { makeContent, memory, repository } from './content.ts'
import { bringLoad } from './load.ts'
import { probing } from './probe.ts'

const evicted = 1000
const blobBytes = 1024 * 1024
const pauseMs = 2
const quietMs = 2000
const image = 'cay, for each image'
const extra = 'p99 of manifest GETs, more than without'

/** Measures how long a full cache makes room, and how long others wait meanwhile. */
export const cacheEvictionCases: Case[] = [
  {
    name: 'cache-eviction',
    title: ({ repositories }) =>
      `eviction of ${evicted} of ${(repositories * 10).toLocaleString('en')} cached images`,
    unit: 'ms',
    reference: image,
    targets: [absolute(image, 'at most', 2), absolute(extra, 'at most', 5)],
    run: measure,
  },
]

async function measure({ executables, scale }: Bench): Promise<Row[]> {
  const load = await bringLoad()
  await using content = await makeContent(blobBytes)
  await using upstream = await load.serve(content.folder, 0)
  await using folder = await temporaryFolder('bench-eviction', memory)
  await fillMetadata(executables, folder.path, scale.repositories)
  const { cached, perImage } = markAsCached(folder.path)
  const env = { CAY_CACHE_BYTES_MAX: String(cached + blobBytes - evicted * perImage) }
  await using peer = await startPeer(executables, 'cay', {
    data: folder.path,
    upstream: upstream.address,
    env,
  })
  const last = scale.repositories - 1
  const path = `/v2/up.example/team-${last % 100}/app-${last}/manifests/v1.0`
  const probe = { path, pauseMs }
  const without = await probing(peer, probe, () => Bun.sleep(quietMs))
  const before = await countImages(peer)
  const url = `http://127.0.0.1:${peer.port}/v2/up.example/${repository}/${content.paths.layer}`
  const beside = await probing(peer, probe, async () => {
    const began = performance.now()
    const response = await fetch(url)
    const milliseconds = performance.now() - began
    if ((await response.bytes()).length !== blobBytes) throw new Error(`GET ${url}: ${response.status}`)
    return milliseconds
  })
  const images = before - (await countImages(peer))
  if (images < evicted / 2) throw new Error(`only ${images} images were evicted`)
  const [p99, p99Without] = [beside, without].map(({ latencies }) => percentile(latencies, 0.99))
  return [
    { name: image, value: beside.result / images, note: `${images} in ${Math.round(beside.result)} ms` },
    { name: 'p99 of manifest GETs, without', value: p99Without ?? Number.NaN },
    { name: 'p99 of manifest GETs, beside', value: p99 ?? Number.NaN, note: `${beside.latencies.length}` },
    { name: extra, value: (p99 ?? Number.NaN) - (p99Without ?? Number.NaN) },
  ]
}

/** Turns what was pushed into cached content of one upstream, one tag each. Returns the bytes of its blobs. */
function markAsCached(data: string): { cached: number; perImage: number } {
  using database = new Database(join(data, 'cay.db'))
  const statements = [
    'DELETE FROM tag WHERE EXISTS (SELECT 1 FROM tag o WHERE o.manifest_id = tag.manifest_id AND o.name < tag.name)',
    'DELETE FROM tag_history',
    "UPDATE repository SET upstream = 'up.example', name = 'up.example/' || name",
    'UPDATE manifest SET used_at = id',
    "UPDATE tag SET checked_at = unixepoch('now') * 1000",
    'UPDATE repository_blob SET is_cached = 1',
    'PRAGMA wal_checkpoint(TRUNCATE)',
  ]
  for (const statement of statements) database.run(statement)
  const sum = database.query("SELECT value FROM total WHERE name = 'cache.bytes'").get() as { value: number }
  const images = database.query('SELECT count(*) AS value FROM manifest').get() as { value: number }
  return { cached: sum.value, perImage: Math.floor(sum.value / images.value) }
}

async function countImages({ port }: Peer): Promise<number> {
  const response = await fetch(`http://127.0.0.1:${port}/api/v1/cache`)
  return ((await response.json()) as { manifestCount: number }).manifestCount
}
