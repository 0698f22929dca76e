import { type Peer, type PeerName, type PeerOptions, startPeer } from '../lib/peers.ts'
import { median } from '../lib/percentiles.ts'
import { temporaryFolder } from '../lib/temporary-folder.ts'
import type { RandomFile } from './load.ts'

export const mebibyte = 1024 * 1024

/** What one measurement of one contestant says: figures by their name and unit, as in `p99, ms`. */
export type Figures = Record<string, number>

/** Measures a contestant once. */
export type Measure = (round: number) => Promise<Figures>

/** What a figure of cay must reach: a number, or a share of the same figure of another contestant. */
export type Goal = [figure: string, is: 'at least' | 'at most', limit: number, of: string | undefined]

export function least(figure: string, limit: number, of?: string): Goal {
  return [figure, 'at least', limit, of]
}

export function most(figure: string, limit: number, of?: string): Goal {
  return [figure, 'at most', limit, of]
}

/** Something to measure. */
export interface Case {
  /** For `--only`, which may also name a part of it. */
  name: string
  title(scale: Scale): string
  /** What cay is measured beside: servers, or names that the case knows. Without them, only an older cay. */
  beside?: string[]
  goals: Goal[]
  /** Prepares what the contestants share, and returns a function that prepares one of them. */
  prepare?(bench: Bench): Promise<(name: string) => Promise<Measure>>
  /** Measures a contestant in a single round instead, because that takes long or uses up its data. */
  once?(bench: Bench, name: string): Promise<Figures>
}

/** How much is measured: all of it, or less with `--quick`. */
export type Scale = typeof full

export const full = {
  /** The big blob. */
  bigBytes: 1024 * mebibyte,
  /** Each of 64 blobs at once. */
  layerBytes: 10 * mebibyte,
  /** Each of 64 uploads and 64 downloads at once for the peak of memory. */
  peakBytes: 100 * mebibyte,
  /** How long each load of small requests lasts, and how long after another load its memory is measured. */
  seconds: 2,
  restSeconds: 60,
  repositories: 10_000,
}

export const quick: Scale = {
  bigBytes: 256 * mebibyte,
  layerBytes: 2 * mebibyte,
  peakBytes: 16 * mebibyte,
  seconds: 1,
  restSeconds: 5,
  repositories: 1000,
}

/** What the cases of a run share. */
export interface Shared {
  /** The path of each server's executable; of an older cay only if there is one. */
  executables: Partial<Record<PeerName, string>>
  random: RandomFile
  rounds: number
  scale: Scale
}

/** One case's bench. All that it starts or makes is stopped and deleted at the end of the case. */
export interface Bench extends Shared {
  start(name: string, options?: PeerOptions): Promise<Peer>
  /** Returns an empty folder. */
  folder(parent?: string): Promise<string>
}

/** Measures a case in rounds: all contestants one after another, each round begun by another one. Returns the medians. */
export async function measureCase(
  { beside = [], prepare, once }: Case,
  shared: Shared,
): Promise<Map<string, Figures>> {
  await using stack = new AsyncDisposableStack()
  const bench: Bench = {
    ...shared,
    start: async (name, options) => stack.use(await startPeer(shared.executables, name as PeerName, options)),
    folder: async (parent) => stack.use(await temporaryFolder('bench', parent)).path,
  }
  const prepareOne =
    (await prepare?.(bench)) ?? (async (name) => async () => (await once?.(bench, name)) ?? {})
  const contestants: { name: string; measure: Measure; all: Figures[] }[] = []
  for (const name of ['cay', ...(shared.executables.before ? ['before'] : []), ...beside])
    contestants.push({ name, measure: await prepareOne(name), all: [] })
  for (let round = 0; round < (once ? 1 : shared.rounds); round++) {
    for (const i of contestants.keys()) {
      const { measure, all } = contestants[(i + round) % contestants.length]!
      all.push(await measure(round))
    }
  }
  return new Map(contestants.map(({ name, all }) => [name, medians(all)]))
}

function medians(all: Figures[]): Figures {
  const figures = Object.keys(all[0] ?? {})
  return Object.fromEntries(
    figures.map((name) => [name, median(all.map((each) => each[name] ?? Number.NaN))]),
  )
}

/** Adds the processor time that a server takes for what is measured, and the memory that it has then. */
export async function observe(peer: Peer, work: () => Promise<Figures>): Promise<Figures> {
  const before = peer.usage()
  const figures = await work()
  const { cpuSeconds, rssBytes } = peer.usage()
  return { ...figures, 'CPU, s': cpuSeconds - before.cpuSeconds, 'RSS, MiB': rssBytes / mebibyte }
}

/**
 * Formats the table of a case: a line for each figure, a column for each contestant, and cay's goals. In brackets stands
 * what share cay's figure is of another contestant's.
 */
export function report({ name, title, goals }: Case, scale: Scale, measured: Map<string, Figures>): string {
  const figures = [...new Set([...measured.values()].flatMap(Object.keys))]
  const lines = figures.map((figure) => {
    const own = measured.get('cay')?.[figure] ?? Number.NaN
    const cells = [...measured].map(([name, { [figure]: value }]) => {
      if (value === undefined) return ''
      const share = Number.isFinite(own / value) ? ` (${number(own / value)}x)` : ''
      return name === 'cay' ? number(value) : number(value) + share
    })
    return [figure, ...cells, ...goals.filter(([of]) => of === figure).map((goal) => verdict(goal, measured))]
  })
  const table = [['', ...measured.keys()], ...lines]
  const width = (column: number) => Math.max(...table.map((cells) => cells[column]?.length ?? 0))
  const render = (cells: string[]) => cells.map((cell, column) => cell.padEnd(width(column))).join('  ')
  return [`${name}: ${title(scale)}`, ...table.map((cells) => `  ${render(cells).trimEnd()}`)].join('\n')
}

/** Returns whether cay reaches a goal, as `met: at least 0.9x nginx`. */
export function verdict([figure, is, limit, of]: Goal, measured: Map<string, Figures>): string {
  const value = (name: string) => measured.get(name)?.[figure] ?? Number.NaN
  const reached = value('cay') / (of === undefined ? 1 : value(of))
  const met = is === 'at least' ? reached >= limit : reached <= limit
  return `${met ? 'met' : 'MISSED'}: ${is} ${limit}${of === undefined ? '' : `x ${of}`}`
}

/** Three digits are enough. */
function number(value: number): string {
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2)
}
