import { existsSync, realpathSync, rmSync } from 'node:fs'
import type { Logger } from 'pino'
import type { Config } from '../config/config-schema.ts'
import { socketPath } from '../config/socket-path.ts'
import { requireLocalDisk } from '../metadata/local-disk.ts'
import { lockFolder } from '../metadata/lock.ts'
import { type Metadata, openMetadata } from '../metadata/metadata.ts'
import { type Folders, joinInstallation, refuseLostDatabase } from './installation.ts'
import { keepNewFilesPrivate, makePrivate, warnIfOpen } from './private-files.ts'
import { checkFolder, makeFolder } from './usable-folder.ts'

/** The folders of an installation, locked for this process. */
export interface DataFolder {
  metadata: Metadata
  close(): Promise<void>
}

/**
 * Creates the folders if needed, locks them for this process, and opens the database.
 *
 * @throws Error that says which folder cannot be used, why, and what to do
 */
export async function openDataFolder(
  config: Pick<Config, 'data' | 'metadata'>,
  log: Logger,
  onFailure: (error: Error) => void,
): Promise<DataFolder> {
  keepNewFilesPrivate()
  const folders = openFolders(config, log)
  requireLocalDisk(folders.metadata)
  const unlock = lock(folders)
  try {
    makePrivate(folders.data, folders.metadata, log)
    refuseLostDatabase(folders)
    const metadata = await openMetadata(folders.metadata, onFailure)
    try {
      await joinInstallation(folders, metadata)
    } catch (error) {
      await metadata.close()
      throw error
    }
    return {
      metadata,
      async close() {
        await metadata.close()
        unlock()
      },
    }
  } catch (error) {
    unlock()
    throw error
  }
}

/** Removes the socket that a crash may have left behind. */
export function removeSocket(data: string): void {
  rmSync(socketPath(data), { force: true })
}

/** Creates the folders. An existing one keeps its mode: it may be a share, or a volume that a group must reach. */
function openFolders({ data, metadata = data }: Pick<Config, 'data' | 'metadata'>, log: Logger): Folders {
  for (const [folder, setting] of new Map([
    [metadata, 'metadata'],
    [data, 'data'],
  ])) {
    if (existsSync(folder)) warnIfOpen(folder, log)
    else makeFolder(folder, setting)
    checkFolder(folder, setting)
  }
  return { data: realpathSync(data), metadata: realpathSync(metadata) }
}

/** Locks both folders. Returns a function that unlocks them. */
function lock({ data, metadata }: Folders): () => void {
  const unlockData = lockFolder(data, 'data')
  if (metadata === data) return unlockData
  try {
    const unlockMetadata = lockFolder(metadata, 'metadata')
    return () => {
      unlockMetadata()
      unlockData()
    }
  } catch (error) {
    unlockData()
    throw error
  }
}
