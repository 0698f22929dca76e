import { readFileSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { build } from '../build.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import { bringTools, type ToolName } from '../toolchain/toolchain.ts'
import { cacheCases } from './cache.ts'
import { type Case, full, measureCase, mebibyte, quick, report, type Shared, verdict } from './case.ts'
import { fullRegistryCases } from './full-registry.ts'
import { lifetimeCases } from './lifetime.ts'
import { randomFile } from './load.ts'
import { pageCases } from './page.ts'
import { trafficCases } from './traffic.ts'

const cases: Case[] = [...trafficCases, ...lifetimeCases, ...fullRegistryCases, ...pageCases, ...cacheCases]

/**
 * `bench [--list] [--only NAME]... [--rounds 5] [--quick]`: measures cay, Debian's docker-registry, distribution 3.1 and
 * nginx in turns on this machine, and prints how they compare and which goals are met. `CAY_BEFORE` names an older
 * executable to measure beside. The server shares the processor with the load, so only ratios within one run are
 * meaningful. Needs Linux and, for missing tools, root.
 */
export async function run(args: string[]): Promise<void> {
  const options = {
    only: { type: 'string', multiple: true },
    rounds: { type: 'string' },
    quick: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
  } as const
  const { values } = parseArgs({ args, options })
  const scale = values.quick ? quick : full
  const chosen = choose(values.only)
  if (values.list) return console.log(chosen.map(({ name, title }) => `${name}: ${title(scale)}`).join('\n'))
  const rounds = Number(values.rounds ?? (values.quick ? 3 : 5))
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new Error(`invalid --rounds ${values.rounds}: use a number`)
  const executables = await bringExecutables(chosen)
  await using folder = await temporaryFolder('bench')
  // A push of another round begins further on in the file.
  const random = await randomFile(folder.path, scale.bigBytes + (64 + rounds) * mebibyte)
  console.log(`${cpus().length} cores of ${cpus()[0]?.model}, medians of ${rounds} rounds`)
  console.log(`TCP congestion control: ${setCongestionControl()}`)
  const verdicts: string[] = []
  for (const each of chosen) {
    const measured = await measureCase(each, { executables, random, rounds, scale })
    console.log(`\n${report(each, scale, measured)}`)
    for (const goal of each.goals) verdicts.push(`${each.name}: ${goal[0]}: ${verdict(goal, measured)}`)
  }
  console.log(`\n${verdicts.join('\n')}`)
}

/** Returns the cases whose names contain one of these. */
function choose(only: string[] = ['']): Case[] {
  const unknown = only.find((part) => !cases.some(({ name }) => name.includes(part)))
  if (unknown !== undefined) throw new Error(`unknown case ${unknown}: --list prints all`)
  return cases.filter(({ name }) => only.some((part) => name.includes(part)))
}

/** Builds cay (or takes `$CAY_EXECUTABLE`), and installs the servers that the cases compare it with. */
async function bringExecutables(chosen: Case[]): Promise<Shared['executables']> {
  const beside = new Set(chosen.flatMap(({ beside = [] }) => beside))
  const needed: ToolName[] = ['wrk', 'curl', 'nginx']
  if (beside.has('docker-registry')) needed.push('docker-registry')
  if (beside.has('distribution')) needed.push('registry')
  if (chosen.some((each) => pageCases.includes(each))) needed.push('chromium')
  const { registry: distribution = '', ...tools } = await bringTools(needed)
  const before = process.env.CAY_BEFORE
  const cay = process.env.CAY_EXECUTABLE ?? (await build())
  return { ...tools, distribution, cay, ...(before !== undefined && { before }) }
}

/**
 * Sets TCP's congestion control to the default of Linux until this process exits. BBR, which some hosts use, paces what
 * it sends with timers, and loopback then carries half as much. Returns what to print about it.
 */
function setCongestionControl(): string {
  const setting = '/proc/sys/net/ipv4/tcp_congestion_control'
  const own = readFileSync(setting, 'utf8').trim()
  if (own === 'cubic') return own
  try {
    writeFileSync(setting, 'cubic')
  } catch {
    return `${own}, not cubic, which only root can set`
  }
  process.on('exit', () => writeFileSync(setting, own))
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
  return `cubic until the end, then ${own} again`
}
