import { type Peer, registriesOf, startPeers } from '../lib/peers.ts'
import { median, percentile } from '../lib/percentiles.ts'
import { loopbackBytes } from '../lib/process-usage.ts'
import { downloadDuring, downloadMany, downloadOne } from './download.ts'
import { type Bench, type Case, parallel, relative, sized } from './lib/case.ts'
import { inTurns, type Measurement, observe, type Row } from './lib/measurement.ts'
import type { Piece } from './lib/random-file.ts'
import { requestLoad } from './lib/request-load.ts'
import { imageOf, publishBlob, publishImage } from './push.ts'

const downloadsAtOnce = 4
const requestConnections = 4
const repository = 'bench/big'

/** Measures pulls of layers, and their effect on small requests at the same time. */
export const downloadCases: Case[] = [
  {
    name: 'download-1',
    title: ({ bigBytes }) => `blob GET of ${sized(bigBytes)}`,
    unit: 'MB/s',
    reference: 'nginx',
    targets: [relative('at least', 0.9)],
    run: (bench) => measure(bench, one(bench), (peer, paths) => downloadBig(bench, peer, paths)),
  },
  {
    name: 'download-64',
    title: ({ layerBytes }) => `${parallel} x ${sized(layerBytes)} blob GETs in parallel`,
    unit: 'MB/s',
    reference: 'nginx',
    targets: [relative('at least', 0.8)],
    run: (bench) => {
      const { layerBytes } = bench.scale
      const pieces = bench.random.pieces(parallel, layerBytes)
      return measure(bench, pieces, (peer, paths) => downloadLayers(peer, paths, layerBytes))
    },
  },
  {
    name: 'fairness',
    title: ({ bigBytes }) =>
      `p99 of small manifest GETs while ${downloadsAtOnce} downloads of ${sized(bigBytes)} run`,
    unit: 'ms',
    reference: 'distribution',
    targets: [relative('at most', 0.5)],
    run: (bench) => measure(bench, one(bench), (peer, paths) => requestBesideDownloads(bench, peer, paths)),
  },
]

type Download = (peer: Peer, paths: string[]) => Promise<Measurement>

async function measure(bench: Bench, pieces: Piece[], download: Download): Promise<Row[]> {
  await using started = await startPeers(bench.executables, [...registriesOf(bench.executables), 'nginx'])
  const [config, layer] = bench.random.pieces(2, 1024)
  const contestants = []
  for (const peer of started.peers) {
    const paths: string[] = []
    for (const piece of pieces) paths.push(await publishBlob(peer, repository, piece))
    await publishImage(peer, repository, imageOf(config!, layer!))
    await download(peer, paths)
    contestants.push({ name: peer.name, measure: () => observe(peer, () => download(peer, paths)) })
  }
  return await inTurns(contestants, bench.rounds)
}

function one({ random, scale }: Bench): Piece[] {
  return [random.piece(0, scale.bigBytes)]
}

async function downloadBig({ scale }: Bench, peer: Peer, paths: string[]): Promise<Measurement> {
  const milliseconds = await downloadOne(peer.port, paths[0]!, scale.bigBytes)
  return { value: scale.bigBytes / 1000 / milliseconds, p50: milliseconds }
}

async function downloadLayers(peer: Peer, paths: string[], size: number): Promise<Measurement> {
  const began = performance.now()
  const times = await downloadMany(peer.port, paths, size)
  const milliseconds = performance.now() - began
  return {
    value: (paths.length * size) / 1000 / milliseconds,
    p50: median(times),
    p99: percentile(times, 0.99),
  }
}

async function requestBesideDownloads({ scale }: Bench, peer: Peer, paths: string[]): Promise<Measurement> {
  const size = scale.bigBytes
  const downloads = { port: peer.port, path: paths[0]!, size, connections: downloadsAtOnce }
  const request = { method: 'GET', path: `/v2/${repository}/manifests/latest` } as const
  return await downloadDuring(downloads, async () => {
    await Bun.sleep(200)
    const [bytes, began] = [loopbackBytes(), performance.now()]
    const load = { ...request, port: peer.port, connections: requestConnections, seconds: scale.seconds }
    const { requestsPerSecond, p50, p99 } = await requestLoad(load)
    const speed = (loopbackBytes() - bytes) / 1000 / (performance.now() - began)
    const note = `${Math.round(requestsPerSecond)} req/s beside ${Math.round(speed)} MB/s`
    return { value: p99, p50, p99, note }
  })
}
