import { existsSync } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { type Inconsistency, openChecked } from '../metadata/consistency.ts'
import { tryLock } from '../metadata/lock.ts'
import { type Digest, digestFromHex, tryParseAlgorithm, tryParseDigest } from '../oci/digest.ts'
import { blobPlace, blobsFolder } from '../storage/blob-place.ts'

/** How many blobs are looked up together. */
const BATCH = 100

/** How many digests a report names. */
const NAMED_MAX = 20

export interface FsckOptions {
  /** The data folder, and the folder of its database. */
  data: string
  metadata: string
  /** Whether to repair what can be repaired without losing content. No server may use the folder then. */
  repair: boolean
}

/** What a check of a data folder found. */
export interface FsckReport {
  /** What SQLite finds wrong with the database's file. If there is anything, nothing else was checked. */
  damage: string[]
  inconsistencies: Inconsistency[]
  /** Whether those that can be repaired were. */
  isRepaired: boolean
  blobs: number
  /** Blobs without a file, or with a file of the wrong size: at most NAMED_MAX, and how many there are. */
  missing: Digest[]
  missingCount: number
  /** Blobs in quarantine. */
  quarantined: number
  /** Files that no row references. The scan of a running server removes old ones. */
  orphans: number
}

/**
 * Compares a data folder's database with itself and with the files, in both directions.
 * @throws Error when there is no database, or a repair is asked for while a server runs
 */
export async function fsck({ data, metadata, repair }: FsckOptions): Promise<FsckReport> {
  const path = join(metadata, 'cay.db')
  if (!existsSync(path)) throw new Error(`${metadata} has no database of cay`)
  const unlock = repair ? tryLock(join(metadata, 'lock')) : () => {}
  if (unlock === undefined) throw new Error(`a server uses ${metadata}: stop it before you repair the folder`)
  try {
    using database = openChecked(path, repair)
    const report: FsckReport = {
      damage: database.damage(),
      inconsistencies: [],
      isRepaired: false,
      blobs: 0,
      missing: [],
      missingCount: 0,
      quarantined: 0,
      orphans: 0,
    }
    if (report.damage.length > 0) return report
    report.inconsistencies = database.inconsistencies()
    if (repair && report.inconsistencies.some(({ isRepairable }) => isRepairable)) {
      database.repair()
      report.isRepaired = true
    }
    await checkRows(data, database, report)
    await checkFiles(data, database, report)
    return report
  } finally {
    unlock()
  }
}

type Checked = ReturnType<typeof openChecked>

async function checkRows(data: string, database: Checked, report: FsckReport): Promise<void> {
  for (let after = 0; ; ) {
    const batch = database.blobs(after, BATCH)
    for (const { digest, size, bytesHere, isQuarantined } of batch) {
      report.blobs++
      const found = bytesHere ?? (await sizeOf(blobPlace(data, digest).file))
      // A running server may have collected it since the row was read.
      if (found === size || !database.hasBlob(digest)) continue
      if (isQuarantined) {
        report.quarantined++
        continue
      }
      if (report.missing.length < NAMED_MAX) report.missing.push(digest)
      report.missingCount++
    }
    const last = batch.at(-1)
    if (last === undefined) return
    after = last.id
  }
}

async function checkFiles(data: string, database: Checked, report: FsckReport): Promise<void> {
  const root = blobsFolder(data)
  if (!existsSync(root)) return
  for (const name of await readdir(root)) {
    const algorithm = tryParseAlgorithm(name)
    if (algorithm === undefined) continue
    for (const prefix of await readdir(join(root, name))) {
      for (const hex of await readdir(join(root, name, prefix))) {
        const digest = tryParseDigest(digestFromHex(algorithm, hex))
        if (digest === undefined || !database.hasBlob(digest)) report.orphans++
      }
    }
  }
}

async function sizeOf(file: string): Promise<number | undefined> {
  try {
    return (await stat(file)).size
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}
