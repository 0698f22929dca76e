import { type Peer, registriesOf, startPeers } from '../lib/peers.ts'
import { median, percentile } from '../lib/percentiles.ts'
import { floor } from './floor.ts'
import { type Bench, type Case, parallel, relative, sized } from './lib/case.ts'
import { pushImages } from './lib/image-load.ts'
import { type Contestant, inTurns, type Measurement, observe, type Row } from './lib/measurement.ts'
import { bytesOf, type Piece } from './lib/random-file.ts'
import { type Image, imageOf, pushBlob } from './push.ts'

const repository = 'bench/pushed'
const imageConnections = 8
const configBytes = 1024
const layerBytes = 4096
/** More than any of the servers can handle. */
const imagesASecondMax = 5000
const floorImages = 300
const warmUpSeconds = 1

/** Measures pushes beside their least cost. Every round has new bytes. */
export const pushCases: Case[] = [
  {
    name: 'push-1',
    title: ({ bigBytes }) => `push of ${sized(bigBytes)} (POST, PATCH, PUT)`,
    unit: 'MB/s',
    reference: 'floor',
    targets: [relative('at least', 0.9)],
    run: (bench) =>
      measureBlobs(bench, (round) => [bench.random.piece(round * 1024 * 1024, bench.scale.bigBytes)]),
  },
  {
    name: 'push-64',
    title: ({ layerBytes: size }) => `push of ${parallel} x ${sized(size)} in parallel`,
    unit: 'MB/s',
    reference: 'floor',
    targets: [relative('at least', 1)],
    run: (bench) =>
      measureBlobs(bench, (round) => bench.random.pieces(parallel, bench.scale.layerBytes, round)),
  },
  {
    name: 'push-images',
    title: () => `small images pushed, ${imageConnections} at once (config, layer, manifest)`,
    unit: 'images/s',
    reference: 'docker-registry',
    targets: [relative('at least', 8)],
    run: measureImages,
  },
]

async function measureBlobs(bench: Bench, piecesOf: (round: number) => Piece[]): Promise<Row[]> {
  await using started = await startPeers(bench.executables, registriesOf(bench.executables))
  const pieces = Array.from({ length: bench.rounds }, (_, round) => piecesOf(round))
  const [small] = bench.random.pieces(1, layerBytes, 1)
  for (const peer of started.peers) await pushBlob(peer, repository, small!)
  const contestants = started.peers.map((peer): Contestant => {
    const push = (round: number) => rated(pieces[round]!, (all) => pushAll(peer, all))
    return { name: peer.name, measure: (round) => settled(() => observe(peer, () => push(round))) }
  })
  return await inTurns([...contestants, floorContestant(bench, pieces)], bench.rounds)
}

function pushAll(peer: Peer, pieces: Piece[]): Promise<number[]> {
  return Promise.all(
    pieces.map(async (piece) => {
      const began = performance.now()
      await pushBlob(peer, repository, piece)
      return performance.now() - began
    }),
  )
}

function floorContestant({ folder }: Bench, pieces: Piece[][]): Contestant {
  const measure = async (round: number) => {
    const before = process.cpuUsage()
    const measurement = await rated(pieces[round]!, async (all) => floor(folder, all))
    const { user, system } = process.cpuUsage(before)
    return { ...measurement, cpuSeconds: (user + system) / 1e6 }
  }
  return { name: 'floor', measure: (round) => settled(() => measure(round)) }
}

async function rated(pieces: Piece[], work: (pieces: Piece[]) => Promise<number[]>): Promise<Measurement> {
  const bytes = pieces.reduce((sum, { size }) => sum + size, 0)
  const began = performance.now()
  const times = await work(pieces)
  const milliseconds = performance.now() - began
  const p99 = times.length > 1 ? { p99: percentile(times, 0.99) } : {}
  return { value: bytes / 1000 / milliseconds, p50: median(times), ...p99 }
}

async function measureImages(bench: Bench): Promise<Row[]> {
  const { executables, folder, rounds, scale } = bench
  await using started = await startPeers(executables, registriesOf(executables))
  const images = Array.from({ length: rounds }, (_, round) => makeImages(bench, round))
  const warmUp = makeImages(bench, rounds)
  for (const peer of started.peers) {
    await pushImages(peer.port, loaded(warmUp), imageConnections, warmUpSeconds)
  }
  const contestants = started.peers.map((peer): Contestant => {
    const push = async (round: number) =>
      perSecond(await pushImages(peer.port, loaded(images[round]!), imageConnections, scale.seconds))
    return { name: peer.name, measure: (round) => settled(() => observe(peer, () => push(round))) }
  })
  const measureFloor = async (round: number) => {
    const began = performance.now()
    const some = images[round]!.slice(0, floorImages)
    const times = some.map((image) => floor(folder, [image.config, image.layer]).reduce((a, b) => a + b))
    return perSecond({ times, milliseconds: performance.now() - began })
  }
  const floorToo = { name: 'floor', measure: (round: number) => settled(() => measureFloor(round)) }
  return await inTurns([...contestants, floorToo], rounds)
}

function perSecond({ times, milliseconds }: { times: number[]; milliseconds: number }): Measurement {
  return {
    value: (times.length / milliseconds) * 1000,
    p50: median(times),
    p99: percentile(times, 0.99),
  }
}

function makeImages({ random, scale }: Bench, round: number): Image[] {
  const count = scale.seconds * imagesASecondMax
  const configs = random.pieces(count, configBytes, round * 2)
  const layers = random.pieces(count, layerBytes, round * 2 + 1)
  return configs.map((config, i) => imageOf(config, layers[i]!))
}

/** Reads images' bytes into memory, before the clock runs. */
function loaded(images: Image[]) {
  return images.map((image, i) => ({
    ...image,
    tag: `v${i}`,
    configBytes: bytesOf(image.config),
    layerBytes: bytesOf(image.layer),
  }))
}

/** Measures when the disk has written what others left to write. */
async function settled(measure: () => Promise<Measurement>): Promise<Measurement> {
  await Bun.spawn(['sync']).exited
  return await measure()
}
