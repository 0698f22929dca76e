import { join } from 'node:path'
import type { Logger } from 'pino'
import type { Config } from '../config/schema.ts'
import type { Metadata } from '../database/metadata.ts'
import type { Damaged } from '../registry/local-parts.ts'
import { turn } from '../runtime/turn.ts'
import { Quarantine } from '../storage/filesystem.ts'
import { type FsckOptions, type FsckReport, fsck } from './fsck.ts'
import { parseScrubHours, Scrub, type ScrubOptions } from './scrub.ts'
import type { Damage, NeededBy } from './store.ts'
import { ContentVerifier } from './verifier.ts'

declare module '../http/controller.ts' {
  interface ApiServices {
    damage: ReturnType<typeof damageService>
  }
}

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

/** Checks a data folder without its server. */
export function checkDataFolder(options: FsckOptions): Promise<FsckReport> {
  return fsck(options)
}

/** Content in quarantine, with the repositories and tags that need it. */
export interface DescribedDamage extends Damage {
  neededBy: NeededBy[]
}

/** Lists damaged content. */
export function damageService(metadata: Metadata, damaged: Damaged) {
  const isHealed = async ({ digest, kind, size }: Damage) =>
    kind === 'blob'
      ? !metadata.blobs.isStored(digest) || (await damaged.hasBytes(digest, size))
      : metadata.manifests.findBytes(digest) !== undefined
  return {
    /** Counts damaged content, including content that was pushed again since the last list. */
    count: () => metadata.damage.count(),

    /** Lists the content that is still damaged, the newest first, and drops what was pushed again. */
    async list(): Promise<DescribedDamage[]> {
      const found: DescribedDamage[] = []
      const healed: Damage['digest'][] = []
      for (const one of await metadata.damage.list()) {
        await turn()
        if (await isHealed(one)) healed.push(one.digest)
        else found.push({ ...one, neededBy: await metadata.damage.neededBy(one) })
      }
      if (healed.length > 0) await metadata.write('noteHealed', { digests: healed })
      return found
    },
  }
}
