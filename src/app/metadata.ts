import { type Metadata, openDatabase } from '../database/metadata.ts'
import { reads } from '../operations.ts'

/**
 * Opens, creates or migrates `<folder>/cay.db`, with every read and write.
 *
 * @param onFailure called when the writer's thread has crashed. Nothing can be written, so the process should end.
 */
export function openMetadata(folder: string, onFailure: (error: Error) => void): Promise<Metadata> {
  const startWriter = () => new Worker(new URL('./writer-thread.ts', import.meta.url))
  return openDatabase(folder, { reads, startWriter, onFailure })
}
