import type { Executables } from '../../lib/peers.ts'
import type { Row } from './measurement.ts'
import type { RandomFile } from './random-file.ts'

/** What all cases of a run share. */
export interface Bench {
  executables: Executables
  /** A temporary folder, on the disk that the servers write to. */
  folder: string
  random: RandomFile
  rounds: number
  scale: Scale
}

/** How much is measured: all of it, or less with `--quick`. */
export interface Scale {
  /** The big blob. */
  bigBytes: number
  /** Each of the 64 blobs at once. */
  layerBytes: number
  /** Each of the 64 uploads and 64 downloads at once for the peak of memory. */
  peakBytes: number
  /** How long each load of small requests lasts. */
  seconds: number
  repositories: number
}

/** Something to measure, with cay's targets. */
export interface Case {
  /** For `--only`. */
  name: string
  title(scale: Scale): string
  unit: 'req/s' | 'MB/s' | 'images/s' | 'ms' | 'MiB' | 'x'
  /** The row that the others are a share of. */
  reference: string
  targets: Target[]
  run(bench: Bench): Promise<Row[]>
}

/** What a row must reach: a number of the case's unit, or a share of the case's reference. */
export interface Target {
  row: string
  is: 'at least' | 'at most'
  limit: number
  /** Whether the limit is a share of the reference. */
  relative: boolean
}

/** How many blobs are moved at once, where many are. */
export const parallel = 64

export function relative(is: Target['is'], limit: number, row = 'cay'): Target {
  return { row, is, limit, relative: true }
}

export function absolute(row: string, is: Target['is'], limit: number): Target {
  return { row, is, limit, relative: false }
}

/** Formats bytes for people. */
export function sized(bytes: number): string {
  return bytes % 1024 ** 3 === 0 ? `${bytes / 1024 ** 3} GiB` : `${Math.round(bytes / 1024 ** 2)} MiB`
}
