import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { IndexFolder } from '../../src/files/index-folder.ts'
import { INDEX_LIMITS, Indexes, type IndexLimits } from '../../src/files/indexes.ts'
import { FileError, type FileSource } from '../../src/files/question.ts'
import { type Member, tar } from './tar.ts'

/** Work that nobody watches or cancels. */
export const UNWATCHED = { signal: new AbortController().signal, progress: () => {} }

export const FIRST = { layer: 0, dir: 0, name: '' }

/** Indexes of archives in a temporary folder. */
export class IndexedFiles implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'cay-files-'))
  indexes = this.open()
  private made = 0

  /** Opens the folder anew, as a new process would. */
  open(limits: Partial<IndexLimits> = {}, bytesMax = 2 ** 30): Indexes {
    const folder = new IndexFolder(this.folder, { bytesMax, now: Date.now })
    this.indexes = new Indexes(folder, { ...INDEX_LIMITS, ...limits })
    return this.indexes
  }

  /** Indexes a layer and returns its digest. */
  async layer(members: readonly (Member | Uint8Array)[]): Promise<string> {
    const digest = `sha256:${String(++this.made).padStart(64, '0')}`
    await this.indexes.build(digest, tar(members), [], UNWATCHED)
    return digest
  }

  /** Indexes an image of layers, the lowest first. */
  async image(...layers: readonly (Member | Uint8Array)[][]): Promise<FileSource> {
    const digests: string[] = []
    for (const members of layers) digests.unshift(await this.layer(members))
    return { layers: digests, isImage: true }
  }

  names(source: FileSource, path: string[] = []): string[] {
    return this.indexes.list(source, path, '', 100).items.map(({ name }) => name)
  }

  /** Returns why something cannot be read. */
  async failure(run: (indexes: Indexes) => unknown): Promise<string> {
    try {
      await run(this.indexes)
    } catch (error) {
      if (error instanceof FileError) return `${error.reason}: ${error.message}`
      throw error
    }
    return 'no failure'
  }

  [Symbol.dispose](): void {
    this.indexes.close()
    rmSync(this.folder, { recursive: true })
  }
}
