import type { Peer } from '../lib/peers.ts'
import { imageManifest, randomBlob } from '../lib/registry.ts'
import { type Bench, type Case, type Figures, mebibyte, most } from './case.ts'
import { filledFolder } from './full-registry.ts'
import { download, publish, pushBlob } from './load.ts'
import { parallel, registries } from './traffic.ts'

const repository = 'bench/app'
const idleSeconds = 5
const manifestBytes = 4 * mebibyte

/** The cost of a server at its start, when idle, and under and after full load. */
export const lifetimeCases: Case[] = [
  {
    name: 'start',
    title: ({ repositories }) =>
      `start to first answer, also later and with ${repositories} repositories of 100 tags`,
    beside: [...registries, 'nginx'],
    goals: [most('empty folder, ms', 150), most('full registry, ms', 150)],
    prepare: async (bench) => async (name) => {
      const isCay = name === 'cay' || name === 'before'
      const full = isCay ? await filledFolder(bench, name) : undefined
      const start = async (data: string) => {
        await using peer = await bench.start(name, { data })
        return peer.startMilliseconds
      }
      return async () => {
        const data = await bench.folder()
        const figures: Figures = { 'empty folder, ms': await start(data), 'later, ms': await start(data) }
        return full === undefined ? figures : { ...figures, 'full registry, ms': await start(full) }
      }
    },
  },
  {
    name: 'idle',
    title: () => `memory (RSS) ${idleSeconds} s after the start`,
    beside: [...registries, 'nginx'],
    goals: [most('RSS, MiB', 90)],
    once: async (bench, name) => {
      await using peer = await bench.start(name)
      await Bun.sleep(idleSeconds * 1000)
      return { 'RSS, MiB': peer.usage().rssBytes / mebibyte }
    },
  },
  {
    name: 'peak',
    title: ({ peakBytes, restSeconds }) =>
      `memory with ${parallel} pushes and ${parallel} pulls of ${peakBytes / mebibyte} MiB, and ${restSeconds} s later`,
    beside: registries,
    goals: [most('peak, MiB', 250)],
    once: (bench, name) => measureMemory(bench, name, moveBlobs),
  },
  {
    name: 'peak-manifests',
    title: () => `memory with ${parallel} pushes of manifests of ${manifestBytes / mebibyte} MiB, and later`,
    beside: registries,
    goals: [most('peak, MiB', 250)],
    once: (bench, name) => measureMemory(bench, name, pushManifests),
  },
]

async function measureMemory(bench: Bench, name: string, load: typeof moveBlobs): Promise<Figures> {
  await using peer = await bench.start(name)
  const began = performance.now()
  await load(bench, peer)
  const seconds = (performance.now() - began) / 1000
  const { peakRssBytes, rssBytes } = peer.usage()
  await Bun.sleep(bench.scale.restSeconds * 1000)
  const memory = { 'peak, MiB': peakRssBytes / mebibyte, 'at the end, MiB': rssBytes / mebibyte }
  return { ...memory, 'later, MiB': peer.usage().rssBytes / mebibyte, 'load, s': seconds }
}

async function moveBlobs({ random, scale }: Bench, peer: Peer): Promise<void> {
  const [pulled, ...pushed] = await random.pieces(parallel + 1, scale.peakBytes)
  const url = peer.origin + (await publish(peer, repository, pulled!)).blob
  const pulls = download(
    Array.from({ length: parallel }, () => url),
    scale.peakBytes,
  )
  await Promise.all([pulls, ...pushed.map((piece) => pushBlob(peer, repository, piece))])
}

async function pushManifests(_: Bench, { registry }: Peer): Promise<void> {
  const { bytes, ...config } = randomBlob(32)
  await registry.pushBlob(repository, config.digest, bytes)
  const length = manifestBytes - imageManifest(config, [], '').length
  const manifests = Array.from({ length: parallel }, (_, i) =>
    imageManifest(config, [], String(i).padEnd(length, '.')),
  )
  await Promise.all(manifests.map((manifest, i) => registry.pushManifest(repository, `v${i}`, manifest)))
}
