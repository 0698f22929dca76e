import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { KeptClock } from '../domain/clock.ts'
import { writeDurably } from '../storage/durable-file.ts'

/** The recorded state of the last server: its clock for deletions, and the rest of its startup grace. */
export interface RemovalRecord extends KeptClock {
  waitMs: number
}

/** Reads the record of a data folder. Returns undefined if there is none, or if it is damaged. */
export function readRemovalRecord(data: string): RemovalRecord | undefined {
  try {
    const { at, jumpedMs, waitMs } = JSON.parse(readFileSync(pathIn(data), 'utf8'))
    const isKnown = [at, jumpedMs, waitMs].every((value) => typeof value === 'number' && value >= 0)
    return isKnown ? { at, jumpedMs, waitMs } : undefined
  } catch {
    return undefined
  }
}

export async function writeRemovalRecord(data: string, record: RemovalRecord): Promise<void> {
  await writeDurably(pathIn(data), `${JSON.stringify(record)}\n`, 0o600)
}

function pathIn(data: string): string {
  return join(data, 'gc-clock')
}
