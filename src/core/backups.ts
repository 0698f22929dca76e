import { resolve } from 'node:path'
import { type BackedUp, type BackupOptions, backUp } from '../backup/backup.ts'
import { listSnapshots, type NamedSnapshot } from '../backup/backup-folder.ts'
import {
  findSnapshot,
  type RestoreOptions,
  restoreBackup,
  type Verified,
  verifySnapshot,
} from '../backup/restore.ts'
import type { Config } from '../config/config-schema.ts'

export type { BackedUp, NamedSnapshot, Verified }

type Progress = Pick<BackupOptions, 'progress' | 'signal'>

/** Backups of one data folder, made by the process that calls. Paths are relative to the working folder. */
export class Backups {
  private readonly folders: { data: string; metadata: string }

  constructor({ data, metadata = data }: Pick<Config, 'data' | 'metadata'>) {
    this.folders = { data: resolve(data), metadata: resolve(metadata) }
  }

  /** Makes a snapshot of the data folder, while a server may use it. Throws an Error that says what failed. */
  make(target: string, options: Progress & Pick<BackupOptions, 'keep' | 'withCache'>): Promise<BackedUp> {
    return backUp({ ...options, ...this.folders, target: resolve(target), at: Date.now() })
  }

  /** Lists the complete snapshots of a backup folder, the oldest first. */
  list(target: string): Promise<NamedSnapshot[]> {
    return listSnapshots(resolve(target))
  }

  /** Reads and hashes everything that the newest snapshot needs. */
  async verify(target: string, options: Progress): Promise<Verified & { snapshot: NamedSnapshot }> {
    const snapshot = await findSnapshot(resolve(target), undefined)
    return { ...(await verifySnapshot(resolve(target), snapshot, options)), snapshot }
  }

  /** Restores a snapshot, the newest by default, into the data folder, which must be empty. */
  restore(source: string, options: Progress & Pick<RestoreOptions, 'name'>) {
    return restoreBackup({ ...options, ...this.folders, source: resolve(source) })
  }
}
