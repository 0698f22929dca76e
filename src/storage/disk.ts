import { type StatsFs, statfsSync } from 'node:fs'
import { statfs } from 'node:fs/promises'

/** The size and free space of a disk, in bytes. */
export interface DiskSpace {
  totalBytes: number
  /** What this process can still use. */
  freeBytes: number
}

/** Measures the disk that a folder is on. */
export async function diskSpace(folder: string): Promise<DiskSpace> {
  return spaceOf(await statfs(folder))
}

/**
 * Measures the disk at once. Each asynchronous measurement would wait behind all requests that have arrived. On a local
 * disk the call takes some microseconds.
 */
export function diskSpaceNow(folder: string): DiskSpace {
  return spaceOf(statfsSync(folder))
}

/** A file system that reports no size, such as a ramfs, counts as unlimited. */
export function spaceOf({ blocks, bavail, bsize }: Pick<StatsFs, 'blocks' | 'bavail' | 'bsize'>): DiskSpace {
  if (blocks === 0) return { totalBytes: Number.MAX_SAFE_INTEGER, freeBytes: Number.MAX_SAFE_INTEGER }
  return { totalBytes: blocks * bsize, freeBytes: bavail * bsize }
}
