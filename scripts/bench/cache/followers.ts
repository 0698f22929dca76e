import type { Peer } from '../../lib/peers.ts'
import { percentile } from '../../lib/percentiles.ts'
import { absolute, type Bench, type Case, relative, sized } from '../lib/case.ts'
import type { Row } from '../lib/measurement.ts'
import { probing } from '../lib/waits.ts'
import { pullManifest, withColdCache } from './cold.ts'
import { type Content, makeContent } from './content.ts'
import { bringLoad, type Load, type Pulls, type Upstream } from './load.ts'

const clients = 50
const [fast, slow] = [20, 200]
const bytesPerSecond = 50_000_000
const mebibyte = 1024 * 1024
const sharedBytes = 64 * mebibyte
const pauseMs = 10

/** Measures many clients that pull one blob while it is being fetched. */
export const cacheFollowerCases: Case[] = [
  {
    name: 'cache-clients',
    title: ({ bigBytes }) =>
      `${clients} clients pull ${sized(bigBytes)} that is not cached, from an upstream that sends 50 MB/s`,
    unit: 'x',
    reference: 'last client, of the upstream’s own time',
    targets: [
      absolute('last client, of the upstream’s own time', 'at most', 2),
      absolute('upstream bytes, of the blob', 'at most', 1.001),
      absolute('upstream GETs', 'at most', 1),
      absolute('slowest first byte', 'at most', 50),
      absolute('small GETs beside, p99', 'at most', 25),
      absolute('memory, peak', 'at most', 250),
    ],
    run: measureClients,
  },
  {
    name: 'cache-slow-clients',
    title: ({ bigBytes }) =>
      `${fast} clients pull ${sized(bigBytes)} at 50 MB/s, beside ${slow} that read 1 MB/s`,
    unit: 'ms',
    reference: 'alone',
    targets: [relative('at most', 1.25, 'beside slow clients'), absolute('memory, peak', 'at most', 200)],
    run: measureSlowClients,
  },
  {
    name: 'cache-shared',
    title: () => `${clients} clients pull ${sized(sharedBytes)} that is not cached: bytes from the upstream`,
    unit: 'x',
    reference: 'docker-registry',
    targets: [absolute('cay', 'at most', 1.001)],
    run: measureShared,
  },
]

async function measureClients(bench: Bench): Promise<Row[]> {
  const load = await bringLoad()
  await using content = await makeContent(bench.scale.bigBytes)
  await using upstream = await load.serve(content.folder, bytesPerSecond)
  return await withColdCache(bench, upstream, async ({ peer, url }) => {
    await pullManifest(url(content.paths.tag), content)
    const path = new URL(url(content.paths.tag)).pathname
    const { result, latencies } = await probing(peer.port, { path, pauseMs }, () =>
      load.pull(url(content.paths.layer), content.file, { fast: clients }),
    )
    const { gets, bytes } = await upstream.stats()
    const own = (content.size / bytesPerSecond) * 1000
    return [
      { name: 'last client, of the upstream’s own time', value: Math.max(...result.doneMs) / own },
      { name: 'upstream bytes, of the blob', value: bytes / content.size },
      { name: 'upstream GETs', value: gets, unit: '' },
      { name: 'slowest first byte', value: Math.max(...result.firstByteMs), unit: 'ms' },
      { name: 'small GETs beside, p99', value: percentile(latencies, 0.99), unit: 'ms' },
      memoryOf(peer),
    ]
  })
}

async function measureSlowClients(bench: Bench): Promise<Row[]> {
  const load = await bringLoad()
  await using content = await makeContent(bench.scale.bigBytes)
  await using upstream = await load.serve(content.folder, bytesPerSecond)
  const alone = await measureFast(bench, load, content, upstream, 0)
  const beside = await measureFast(bench, load, content, upstream, slow)
  return [
    { name: 'alone', value: Math.max(...alone.pulls.doneMs) },
    { name: 'beside slow clients', value: Math.max(...beside.pulls.doneMs) },
    beside.memory,
  ]
}

async function measureFast(
  bench: Bench,
  load: Load,
  content: Content,
  upstream: Upstream,
  slowClients: number,
): Promise<{ pulls: Pulls; memory: Row }> {
  return await withColdCache(bench, upstream, async ({ peer, url }) => {
    await pullManifest(url(content.paths.tag), content)
    const pulls = await load.pull(url(content.paths.layer), content.file, { fast, slow: slowClients })
    return { pulls, memory: memoryOf(peer) }
  })
}

async function measureShared(bench: Bench): Promise<Row[]> {
  const load = await bringLoad()
  await using content = await makeContent(sharedBytes)
  const rows: Row[] = []
  for (const name of ['cay', 'docker-registry'] as const) {
    await using upstream = await load.serve(content.folder, 0)
    const pulls = await withColdCache(
      bench,
      upstream,
      async ({ url }) => {
        await pullManifest(url(content.paths.tag), content)
        return await load.pull(url(content.paths.layer), content.file, { fast: clients })
      },
      name,
    )
    const { gets, bytes } = await upstream.stats()
    const note = `${gets} GETs; the last client after ${Math.round(Math.max(...pulls.doneMs))} ms`
    rows.push({ name, value: bytes / content.size, note })
  }
  return rows
}

function memoryOf(peer: Peer): Row {
  return { name: 'memory, peak', value: peer.usage().peakRssBytes / mebibyte, unit: 'MiB' }
}
