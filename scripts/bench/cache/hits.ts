import { sha256 } from '../../lib/image.ts'
import type { Bench, Case } from '../lib/case.ts'
import { inTurns, observe, type Row } from '../lib/measurement.ts'
import { requestLoad } from '../lib/request-load.ts'
import { imageOf, publishImage } from '../push.ts'
import { pullManifest, withColdCache } from './cold.ts'
import { makeContent } from './content.ts'
import { bringLoad } from './load.ts'

const layerBytes = 1024 * 1024
const localRepository = 'bench/local'
const warmUpSeconds = 0.5

/** Measures pulls of cached content beside pulls of pushed content from the same server. */
export const cacheHitCases: Case[] = [
  hitCase('cache-hit-tag', 'manifest GET by tag', 'tag', 32),
  hitCase('cache-hit-digest', 'manifest GET by digest', 'manifest', 32),
  hitCase('cache-hit-blob', 'GET of a blob of 1 MiB', 'layer', 4),
]

type What = 'tag' | 'manifest' | 'layer'

function hitCase(name: string, title: string, what: What, connections: number): Case {
  return {
    name,
    title: () => `${title}, ${connections} connections: cached content beside pushed content`,
    unit: 'req/s',
    reference: 'pushed',
    targets: [{ row: 'cached', is: 'at least', limit: 0.95, relative: true }],
    run: (bench) => measureHits(bench, what, connections),
  }
}

async function measureHits(bench: Bench, what: What, connections: number): Promise<Row[]> {
  const load = await bringLoad()
  await using content = await makeContent(layerBytes)
  await using upstream = await load.serve(content.folder, 0)
  return await withColdCache(bench, upstream, async ({ peer, url }) => {
    await pullManifest(url(content.paths.tag), content)
    await (await fetch(url(content.paths.layer))).bytes()
    const [layer] = bench.random.pieces(1, layerBytes)
    const [config] = bench.random.pieces(1, 1024, 1)
    const image = imageOf(config!, layer!)
    const local = await publishImage(peer, localRepository, image)
    const manifest = `/v2/${localRepository}/manifests/${sha256(image.manifest)}`
    const pushed = { tag: local.manifest, manifest, layer: local.layer }[what]
    const paths = { pushed, cached: new URL(url(content.paths[what])).pathname }
    const contestants = []
    for (const [name, path] of Object.entries(paths)) {
      const request = { port: peer.port, method: 'GET' as const, path, connections }
      await requestLoad({ ...request, seconds: warmUpSeconds })
      const measure = () =>
        observe(peer, async () => {
          const { requestsPerSecond, p50, p99 } = await requestLoad({
            ...request,
            seconds: bench.scale.seconds,
          })
          return { value: requestsPerSecond, p50, p99 }
        })
      contestants.push({ name, measure })
    }
    return await inTurns(contestants, bench.rounds)
  })
}
