import type { Logger } from 'pino'
import type { Config } from '../config/config-schema.ts'
import { ContentVerifier } from '../integrity/content-verifier.ts'
import { type FsckOptions, type FsckReport, fsck } from '../integrity/fsck.ts'
import { Scrub, type ScrubOptions } from '../integrity/scrub.ts'
import { Quarantine } from '../storage/quarantine.ts'
import type { Damaged } from './registry/damaged.ts'

export interface IntegrityParts extends Pick<ScrubOptions, 'metadata' | 'blobs' | 'locks' | 'now'> {
  config: Config
  log: Logger
  damaged: Damaged
}

/** Opens the verification of a data folder's content. */
export function openScrub({ config, damaged, ...parts }: IntegrityParts): Scrub {
  const { data, scrub: settings } = config
  return new Scrub({
    ...parts,
    data,
    settings,
    quarantine: new Quarantine(data),
    verifier: new ContentVerifier(),
    onDamaged: (digest) => damaged.add(digest),
  })
}

export type { FsckReport }

/** Checks a data folder without its server. */
export function checkDataFolder(options: FsckOptions): Promise<FsckReport> {
  return fsck(options)
}
