import { registriesOf, startPeers } from '../lib/peers.ts'
import { type Bench, type Case, relative } from './lib/case.ts'
import { inTurns, type Row } from './lib/measurement.ts'
import { loadContestant } from './lib/request-load.ts'
import { imageOf, publishImage } from './push.ts'

const connections = 32
const smallBytes = 1024

/** Measures the small requests of a pull by a client that already has most of an image. */
export const smallRequestCases: Case[] = [
  {
    name: 'manifest-get',
    title: () => `manifest GET by tag, ${connections} connections`,
    unit: 'req/s',
    reference: 'nginx',
    targets: [relative('at least', 0.6)],
    run: (bench) => measure(bench, 'GET', 'manifest'),
  },
  {
    name: 'blob-head',
    title: () => `blob HEAD, ${connections} connections`,
    unit: 'req/s',
    reference: 'nginx',
    targets: [relative('at least', 0.6)],
    run: (bench) => measure(bench, 'HEAD', 'layer'),
  },
  {
    name: 'small-blob-get',
    title: () => `GET of a blob of 1 KiB, ${connections} connections`,
    unit: 'req/s',
    reference: 'nginx',
    targets: [relative('at least', 0.45)],
    run: (bench) => measure(bench, 'GET', 'layer'),
  },
]

async function measure(
  { executables, random, rounds, scale }: Bench,
  method: 'GET' | 'HEAD',
  what: 'manifest' | 'layer',
): Promise<Row[]> {
  await using started = await startPeers(executables, [...registriesOf(executables), 'nginx'])
  const [config, layer] = random.pieces(2, smallBytes)
  const image = imageOf(config!, layer!)
  const contestants = []
  for (const peer of started.peers) {
    const paths = await publishImage(peer, 'bench/small', image)
    const request = { port: peer.port, method, path: paths[what], connections }
    contestants.push(await loadContestant(peer.name, peer, request, scale.seconds))
  }
  return await inTurns(contestants, rounds)
}
