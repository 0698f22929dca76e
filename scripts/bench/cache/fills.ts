import { floor } from '../floor.ts'
import { type Bench, type Case, relative, sized } from '../lib/case.ts'
import { inTurns, type Measurement, observe, type Row } from '../lib/measurement.ts'
import { pullManifest, withColdCache } from './cold.ts'
import { type Content, makeContent, repository, warmMemory } from './content.ts'
import { bringLoad, type Load, type Upstream } from './load.ts'

const megabyte = 1_000_000

/** Measures one client that pulls a blob which is not cached, beside one that pulls it from the upstream. */
export const cacheFillCases: Case[] = [fillCase(100, 0.97), fillCase(400, 0.9), fillCase(0, 0.8)]

function fillCase(speed: number, share: number): Case {
  const of = speed === 0 ? 'as fast as it can' : `at ${speed} MB/s`
  return {
    name: speed === 0 ? 'cache-fill' : `cache-fill-${speed}`,
    title: ({ bigBytes }) => `${sized(bigBytes)} that is not cached, from an upstream that sends ${of}`,
    unit: 'MB/s',
    // The floor reads, hashes, writes and syncs the same bytes.
    reference: speed === 0 ? 'floor' : 'direct',
    targets: [relative('at least', share)],
    run: (bench) => measureFill(bench, speed),
  }
}

async function measureFill(bench: Bench, speed: number): Promise<Row[]> {
  const load = await bringLoad()
  await using content = await makeContent(bench.scale.bigBytes)
  await using upstream = await load.serve(content.folder, speed * megabyte)
  const direct = `http://${upstream.address}/v2/${repository}/${content.paths.layer}`
  const piece = { path: content.file, offset: 0, size: content.size, digest: content.digest }
  const floorSpeed = async () => {
    await warmMemory(2 * content.size)
    return speedOf(content, floor(content.folder, [piece])[0] ?? 0)
  }
  const contestants = [
    { name: 'direct', measure: () => pullOnce(load, content, direct) },
    { name: 'cay', measure: () => fillOnce(bench, load, content, upstream) },
    ...(speed === 0 ? [{ name: 'floor', measure: floorSpeed }] : []),
  ]
  return await inTurns(contestants, bench.rounds)
}

async function fillOnce(
  bench: Bench,
  load: Load,
  content: Content,
  upstream: Upstream,
): Promise<Measurement> {
  return await withColdCache(bench, upstream, async ({ peer, url }) => {
    await pullManifest(url(content.paths.tag), content)
    await warmMemory(2 * content.size)
    return await observe(peer, () => pullOnce(load, content, url(content.paths.layer)))
  })
}

async function pullOnce(load: Load, content: Content, url: string): Promise<Measurement> {
  const { doneMs } = await load.pull(url, content.file, { fast: 1 })
  return speedOf(content, doneMs[0] ?? 0)
}

function speedOf({ size }: Content, milliseconds: number): Measurement {
  return { value: size / 1000 / milliseconds, p50: milliseconds }
}
