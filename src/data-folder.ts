import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from './config/config-schema.ts'
import { requireLocalDisk } from './metadata/local-disk.ts'
import { lockFolder } from './metadata/lock.ts'
import { type Metadata, openMetadata } from './metadata/metadata.ts'

/** A data folder that this process works on, alone. */
export interface DataFolder {
  metadata: Metadata
  close(): Promise<void>
}

/** Makes the folder if need be, takes it for this process, and opens its database. */
export async function openDataFolder(
  config: Pick<Config, 'data' | 'metadata'>,
  onFailure: (error: Error) => void,
): Promise<DataFolder> {
  const metadataFolder = config.metadata ?? config.data
  for (const folder of [config.data, metadataFolder]) makeFolder(folder)
  requireLocalDisk(metadataFolder)
  const unlock = lockFolder(config.data)
  const metadata = await openMetadata(metadataFolder, Date.now(), onFailure)
  return {
    metadata,
    async close() {
      await metadata.close()
      unlock()
    },
  }
}

/** Where commands reach the server of a data folder. */
export function socketPath(data: string): string {
  return join(data, 'cay.sock')
}

/** Removes the socket, which a crash may have left. */
export function removeSocket(data: string): void {
  rmSync(socketPath(data), { force: true })
}

function makeFolder(folder: string): void {
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
  } catch (error) {
    throw new Error(
      `cannot make the folder ${folder}: ${(error as Error).message}; choose another one with --data`,
    )
  }
}
