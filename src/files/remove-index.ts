import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { INDEXES_FOLDER, indexName } from './index-name.ts'

/** Removes the index of a layer whose bytes were deleted. Comparisons with it are removed when they are not used. */
export async function removeIndex(data: string, layer: string): Promise<void> {
  await rm(join(data, INDEXES_FOLDER, indexName(layer)), { force: true })
}
