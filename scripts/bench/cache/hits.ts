import { sha256 } from '../../lib/image.ts'
import { type Bench, type Case, relative } from '../lib/case.ts'
import { inTurns, type Row } from '../lib/measurement.ts'
import { loadContestant } from '../lib/request-load.ts'
import { imageOf, publishImage } from '../push.ts'
import { pullManifest, withColdCache } from './cold.ts'
import { makeContent } from './content.ts'
import { bringLoad } from './load.ts'

const layerBytes = 1024 * 1024
const localRepository = 'bench/local'

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
    targets: [relative('at least', 0.95, 'cached')],
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
      contestants.push(await loadContestant(name, peer, request, bench.scale.seconds))
    }
    return await inTurns(contestants, bench.rounds)
  })
}
