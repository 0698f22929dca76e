import { readRemovalRecord, writeRemovalRecord } from '../data-folder/removal-record.ts'
import type { Clocks } from '../domain/clock.ts'
import { lockForRemoval } from '../metadata/removal-lock.ts'

/** The clock for deletions of a data folder, which is kept over restarts. */
export interface RemovalClock {
  /** Milliseconds since 1970. */
  steady: () => number
  /** What an earlier server had left of the startup grace, in milliseconds; undefined if that is not known. */
  startupWaitMs: number | undefined
  /** Returns the lock for one batch of removals, or undefined while a backup is running. */
  lockForRemoval: () => ReturnType<typeof lockForRemoval>
  /** Records the clock, and what is left of the startup grace. */
  keep(waitMs: number): Promise<void>
}

export function openRemovalClock(data: string, clocks: Clocks, graceMs: number): RemovalClock {
  const record = readRemovalRecord(data)
  const clock = clocks.keptSteady(graceMs, record)
  let written: Promise<unknown> = Promise.resolve()
  return {
    steady: clock.read,
    startupWaitMs: record?.waitMs,
    lockForRemoval: () => lockForRemoval(data),
    keep(waitMs) {
      const write = () => writeRemovalRecord(data, { ...clock.keep(), waitMs })
      const mine = written.then(write, write)
      written = mine
      return mine
    },
  }
}
