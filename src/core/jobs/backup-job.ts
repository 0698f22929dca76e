import { resolve } from 'node:path'
import { newestSnapshot } from '../../backup/backup-folder.ts'
import { backUpInThread } from '../../backup/threaded-backup.ts'
import type { Config } from '../../config/config-schema.ts'
import { SYSTEM } from '../../domain/access/caller.ts'
import { registryError } from '../../oci/error.ts'
import type { Jobs, JobWork } from './jobs.ts'

/** Returns a backup into the configured folder as the work of a job; undefined without such a folder. */
export function backupJob(config: Config, now: () => number): JobWork | undefined {
  const { folder, keep, withCache } = config.backup
  if (folder === undefined) return undefined
  const data = resolve(config.data)
  const metadata = resolve(config.metadata ?? config.data)
  const options = { data, metadata, target: resolve(folder), keep, withCache }
  return async ({ signal, progress }) => {
    const made = await backUpInThread({ ...options, at: now(), signal, progress }).catch((cause: Error) => {
      throw registryError('INTERNAL', cause.message, { cause })
    })
    const { manifests, blobs, missingCount } = made.snapshot.info
    const { copied, copiedBytes, removed } = made
    return { manifests, blobs, missing: missingCount, copied, bytes: copiedBytes, removed: removed.length }
  }
}

/** Starts the scheduled backup if the newest snapshot is older than the interval. */
export async function backUpIfDue(
  { backup }: Config,
  jobs: Pick<Jobs, 'start'>,
  now: () => number,
): Promise<void> {
  if (backup.folder === undefined) return
  const newest = await newestSnapshot(resolve(backup.folder))
  const at = now()
  if (newest !== undefined && at - Date.parse(newest.info.at) < backup.intervalSeconds * 1000) return
  await jobs.start('backup', { caller: SYSTEM, at })
}
