import type { Logger } from 'pino'
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
  /** Records the clock, and what is left of the startup grace. Logs errors: without a record, content is kept longer. */
  keep(waitMs: number): Promise<void>
}

export function openRemovalClock(data: string, clocks: Clocks, graceMs: number, log: Logger): RemovalClock {
  const record = readRemovalRecord(data)
  const clock = clocks.keptSteady(graceMs, record)
  const write = async (waitMs: number) => {
    try {
      await writeRemovalRecord(data, { ...clock.keep(), waitMs })
    } catch (cause) {
      log.error({ cause }, 'cannot record the clock of garbage collection')
    }
  }
  let written = Promise.resolve()
  return {
    steady: clock.read,
    startupWaitMs: record?.waitMs,
    lockForRemoval: () => lockForRemoval(data),
    keep(waitMs) {
      written = written.then(() => write(waitMs))
      return written
    },
  }
}
