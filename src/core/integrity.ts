import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config/config-schema.ts'
import { ContentVerifier } from '../integrity/content-verifier.ts'
import { type FsckOptions, type FsckReport, fsck } from '../integrity/fsck.ts'
import { Scrub, type ScrubOptions } from '../integrity/scrub.ts'
import { parseScrubHours } from '../integrity/scrub-hours.ts'
import { Quarantine } from '../storage/quarantine.ts'

export interface IntegrityParts
  extends Pick<ScrubOptions, 'metadata' | 'blobs' | 'locks' | 'damaged' | 'now'> {
  config: Config
  log: Logger
}

/** Opens the verification of a data folder's content. */
export function openScrub({ config, ...parts }: IntegrityParts): Scrub {
  const { data, metadata: folder = data, scrub, backup } = config
  const { days, bytesPerSecondMax } = scrub
  return new Scrub({
    ...parts,
    data,
    database: join(folder, 'cay.db'),
    backupFolder: backup.folder,
    settings: { days, bytesPerSecondMax, hours: parseScrubHours(scrub.hours) },
    quarantine: new Quarantine(data),
    verifier: new ContentVerifier(),
  })
}

export type { FsckReport }

/** Checks a data folder without its server. */
export function checkDataFolder(options: FsckOptions): Promise<FsckReport> {
  return fsck(options)
}
