import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { bringPeers } from '../lib/peers.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { authenticatedCases } from './authenticated.ts'
import { cacheEvictionCases } from './cache/eviction.ts'
import { cacheFillCases } from './cache/fills.ts'
import { cacheFirstByteCases } from './cache/first-byte.ts'
import { cacheFollowerCases } from './cache/followers.ts'
import { cacheHitCases } from './cache/hits.ts'
import { collectionCases } from './collection.ts'
import { downloadCases } from './downloads.ts'
import type { Bench, Case, Scale } from './lib/case.ts'
import { setCongestionControl } from './lib/congestion-control.ts'
import { lifetimeCases } from './lib/lifetime.ts'
import { RandomFile } from './lib/random-file.ts'
import { renderCase, renderTargets } from './lib/report.ts'
import { listCases } from './lists.ts'
import { manyTagsCases } from './many-tags.ts'
import { pageCases } from './page.ts'
import { parserCases } from './parsers.ts'
import { pushCases } from './pushes.ts'
import { retentionCases } from './retention.ts'
import { smallRequestCases } from './small-requests.ts'

const mebibyte = 1024 * 1024
const cases: Case[] = [
  ...smallRequestCases,
  ...authenticatedCases,
  ...downloadCases,
  ...pushCases,
  ...lifetimeCases,
  ...listCases,
  ...manyTagsCases,
  ...pageCases,
  ...collectionCases,
  ...retentionCases,
  ...cacheFillCases,
  ...cacheFollowerCases,
  ...cacheFirstByteCases,
  ...cacheHitCases,
  ...cacheEvictionCases,
  ...parserCases,
]

const full: Scale = {
  bigBytes: 1024 * mebibyte,
  layerBytes: 10 * mebibyte,
  peakBytes: 100 * mebibyte,
  seconds: 2,
  repositories: 10_000,
}

const quick: Scale = {
  bigBytes: 256 * mebibyte,
  layerBytes: 2 * mebibyte,
  peakBytes: 16 * mebibyte,
  seconds: 1,
  repositories: 1000,
}

const usage = `usage: bench [--only ${cases.map(({ name }) => name).join('|')}]... [--rounds 5] [--quick]`

/**
 * `bench [--only <case>]... [--rounds 5] [--quick]`: measures cay, Debian's docker-registry, distribution 3.1 and
 * nginx in turns on this machine, and prints how they compare and which targets are met. On two cores the server shares
 * them with the load, so only ratios within one run are meaningful. Needs Linux.
 */
export async function run(args: string[]): Promise<void> {
  const options = {
    only: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
  } as const
  const { values } = parseArgs({ args, options })
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 5))
  const chosen = cases.filter(({ name }) => values.only?.includes(name) ?? true)
  if (
    !Number.isInteger(rounds) ||
    rounds < 1 ||
    (values.only && chosen.length !== new Set(values.only).size)
  ) {
    throw new Error(usage)
  }
  const scale = values.quick ? quick : full
  const executables = await bringPeers()
  await using folder = await temporaryFolder('bench')
  // A push of another round begins further on in the file.
  const random = RandomFile.make(folder.path, scale.bigBytes + (64 + rounds) * mebibyte)
  const bench: Bench = { executables, folder: folder.path, random, rounds, scale }
  console.log(`${cpus().length} cores of ${cpus()[0]?.model}, medians of ${rounds} rounds`)
  console.log(`TCP congestion control: ${setCongestionControl()}\n`)
  const targets: string[] = []
  for (const measured of chosen) {
    const rows = await measured.run(bench)
    console.log(`${renderCase(measured, scale, rows)}\n`)
    targets.push(...renderTargets(measured, rows))
  }
  console.log(targets.join('\n'))
}
