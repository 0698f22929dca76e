import { statfsSync } from 'node:fs'

/** Linux's magic numbers of file systems whose locks and shared memory are not reliable enough for SQLite's WAL. */
const REMOTE: Record<number, string> = {
  26985: 'NFS',
  20859: 'SMB',
  4283649346: 'CIFS',
  4266872130: 'SMB',
  1702057286: 'FUSE',
}

/** Throws an Error that says what to do when the folder is not on a local disk. */
export function requireLocalDisk(folder: string): void {
  if (process.platform !== 'linux') return
  const kind = REMOTE[statfsSync(folder).type >>> 0]
  if (kind === undefined) return
  throw new Error(
    `${folder} is on ${kind}, where the database would not be safe: keep the blobs there, ` +
      'and give the database a folder on a local disk with --metadata',
  )
}
