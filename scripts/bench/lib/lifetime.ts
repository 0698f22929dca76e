import { type PeerName, registriesOf, startPeer, startPeers } from '../../lib/peers.ts'
import { temporaryFolder } from '../../lib/temporary-folder.ts'
import { downloadMany } from '../download.ts'
import { publishBlob, pushBlob } from '../push.ts'
import { absolute, type Bench, type Case, parallel, sized } from './case.ts'
import { fillMetadata } from './filled-metadata.ts'
import { type Contestant, inTurns, type Row } from './measurement.ts'

const idleSeconds = 5
const mebibyte = 1024 * 1024
const filled = 'cay, filled'

/** The cost of a server at its start, when idle, and under full load. */
export const lifetimeCases: Case[] = [
  {
    name: 'start',
    title: ({ repositories }) =>
      `start to first answer, with no data and with ${repositories.toLocaleString('en')} repositories of 100 tags`,
    unit: 'ms',
    reference: 'distribution',
    targets: [absolute('cay', 'at most', 150), absolute(filled, 'at most', 150)],
    run: measureStart,
  },
  {
    name: 'idle',
    title: () => `memory (RSS) ${idleSeconds} s after the start`,
    unit: 'MiB',
    reference: 'distribution',
    targets: [absolute('cay', 'at most', 90)],
    run: measureIdle,
  },
  {
    name: 'peak',
    title: ({ peakBytes }) =>
      `most memory (VmHWM) with ${parallel} uploads and ${parallel} downloads of ${sized(peakBytes)} at once`,
    unit: 'MiB',
    reference: 'distribution',
    targets: [absolute('cay', 'at most', 250)],
    run: measurePeak,
  },
]

async function measureStart({ executables, rounds, scale }: Bench): Promise<Row[]> {
  await using full = await temporaryFolder('bench-filled')
  await fillMetadata(executables, full.path, scale.repositories)
  const contestant = (label: string, name: PeerName, data?: string): Contestant => ({
    name: label,
    measure: async () => {
      await using peer = await startPeer(executables, name, { data })
      const { cpuSeconds, rssBytes } = peer.usage()
      return { value: peer.startMilliseconds, cpuSeconds, rssBytes }
    },
  })
  const empty = [...registriesOf(executables), 'nginx' as const].map((name) => contestant(name, name))
  return await inTurns([contestant(filled, 'cay', full.path), ...empty], rounds)
}

async function measureIdle({ executables }: Bench): Promise<Row[]> {
  await using started = await startPeers(executables, [...registriesOf(executables), 'nginx'])
  await Bun.sleep(idleSeconds * 1000)
  return started.peers.map((peer) => {
    const { cpuSeconds, rssBytes } = peer.usage()
    return { name: peer.name, value: rssBytes / mebibyte, cpuSeconds, rssBytes }
  })
}

async function measurePeak({ executables, random, scale }: Bench): Promise<Row[]> {
  const [pulled, ...pushed] = random.pieces(parallel + 1, scale.peakBytes)
  const rows: Row[] = []
  for (const name of registriesOf(executables)) {
    await using peer = await startPeer(executables, name)
    const path = await publishBlob(peer, 'bench/pulled', pulled!)
    const began = performance.now()
    const uploads = pushed.map((piece) => pushBlob(peer, 'bench/pushed', piece))
    const paths = Array.from({ length: parallel }, () => path)
    await Promise.all([...uploads, downloadMany(peer.port, paths, scale.peakBytes)])
    const seconds = (performance.now() - began) / 1000
    const { cpuSeconds, rssBytes, peakRssBytes } = peer.usage()
    rows.push({
      name,
      value: peakRssBytes / mebibyte,
      cpuSeconds,
      rssBytes,
      note: `all done in ${seconds.toFixed(1)} s`,
    })
  }
  return rows
}
