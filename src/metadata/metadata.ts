import { join } from 'node:path'
import { openForReading } from './database.ts'
import { type Reads, reads } from './reads.ts'
import type { Stale, StaleParts } from './stale.ts'
import { Writer } from './writer.ts'

/** The database of one data folder: reads here and at once, writes through the writer's thread. */
export interface Metadata extends Reads {
  write: Writer['call']
  /** Calls `listener` whenever a part of what is remembered of this kind is stale, before the write returns. */
  onStale<K extends Stale>(what: K, listener: (part: StaleParts[K]) => void): void
  close(): Promise<void>
}

/**
 * Opens, makes or migrates `<folder>/cay.db`.
 *
 * @param onFailure told when the writer's thread has died: nothing can be written, the process should end
 */
export async function openMetadata(folder: string, onFailure: (error: Error) => void): Promise<Metadata> {
  const path = join(folder, 'cay.db')
  const listeners: [Stale, (part: never) => void][] = []
  const writer = await Writer.open(path, {
    onStale: (what, part) => {
      for (const [kind, listener] of listeners) if (kind === what) listener(part as never)
    },
    onFailure,
  })
  const db = openForReading(path)
  return {
    ...reads(db),
    write: (name, args, moved) => writer.call(name, args, moved),
    onStale: <K extends Stale>(what: K, listener: (part: StaleParts[K]) => void) => {
      listeners.push([what, listener])
    },
    async close() {
      db.$client.close()
      await writer.close()
    },
  }
}
