import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
} from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'

/** The names of complete files; any other file in the folder is left over from a crash. */
const COMPLETE = /^(layer|changes)-[a-z0-9-]+\.db$/

/** How exactly the last use is recorded, in milliseconds. */
const USE_MS = 60_000

interface Kept {
  bytes: number
  usedAt: number
}

export interface IndexFolderOptions {
  /** The bytes of all files together. */
  bytesMax: number
  /** Milliseconds since 1970. */
  now: () => number
}

/**
 * The files of indexes, which can be created again at any time. The least recently used ones are removed when all
 * together exceed the limit. One thread uses the folder.
 */
export class IndexFolder {
  private readonly folder: string
  private readonly options: IndexFolderOptions
  /** Least recently used first. */
  private readonly kept = new Map<string, Kept>()

  /** Opens the folder, and removes what a crash left in it. */
  constructor(folder: string, options: IndexFolderOptions) {
    this.folder = folder
    this.options = options
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const found: [string, Kept][] = []
    for (const name of readdirSync(folder)) {
      if (COMPLETE.test(name)) {
        const { size, mtimeMs } = statSync(join(folder, name))
        found.push([name, { bytes: size, usedAt: mtimeMs }])
      } else rmSync(join(folder, name), { force: true, recursive: true })
    }
    for (const [name, kept] of found.sort(([, a], [, b]) => a.usedAt - b.usedAt)) this.kept.set(name, kept)
  }

  /** The bytes of all files. */
  bytes(): number {
    return [...this.kept.values()].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** Returns the path of a file and records that it is used; undefined if it does not exist. */
  find(name: string): string | undefined {
    const kept = this.kept.get(name)
    if (kept === undefined) return undefined
    const path = join(this.folder, name)
    const now = this.options.now()
    try {
      // Another process may have removed it: the collector removes the index of a layer by its name.
      statSync(path)
      if (now - kept.usedAt > USE_MS) utimesSync(path, now / 1000, now / 1000)
    } catch {
      this.kept.delete(name)
      return undefined
    }
    this.kept.delete(name)
    this.kept.set(name, { bytes: kept.bytes, usedAt: now - kept.usedAt > USE_MS ? now : kept.usedAt })
    return path
  }

  /** Returns where to write a file before it is complete. */
  pathToWrite(name: string): string {
    const path = join(this.folder, `${name}.part`)
    rmSync(path, { force: true })
    return path
  }

  /**
   * Gives a complete file its name, and removes others to make room.
   *
   * @param needed files that are in use and stay
   * @returns the files that were removed; undefined, and the file is not kept, when there is no room beside the needed ones
   */
  keep(name: string, needed: ReadonlySet<string>): string[] | undefined {
    const part = join(this.folder, `${name}.part`)
    const bytes = statSync(part).size
    const removed: string[] = []
    // The collector removes the index of a layer with its bytes.
    for (const other of [...this.kept.keys()])
      if (!existsSync(join(this.folder, other))) this.kept.delete(other)
    for (const [other] of [...this.kept]) {
      if (this.bytes() + bytes <= this.options.bytesMax) break
      if (needed.has(other) || other === name) continue
      this.remove(other)
      removed.push(other)
    }
    if (this.bytes() + bytes > this.options.bytesMax) {
      rmSync(part, { force: true })
      return undefined
    }
    sync(part)
    renameSync(part, join(this.folder, name))
    this.kept.set(name, { bytes, usedAt: this.options.now() })
    return removed
  }

  /** Removes a file that was not completed. */
  discard(name: string): void {
    rmSync(join(this.folder, `${name}.part`), { force: true })
  }

  remove(name: string): void {
    this.kept.delete(name)
    rmSync(join(this.folder, name), { force: true })
  }
}

/** After a power loss a file that has its name is complete. */
function sync(path: string): void {
  const file = openSync(path, 'r+')
  try {
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
}

/** The folder of the data folder with the indexes of layers and the comparisons of images. */
export const INDEXES_FOLDER = 'file-indexes'

/** Returns the name of the file with the index of a layer. */
export function indexName(layer: string): string {
  return `layer-${layer.replace(':', '-')}.db`
}

/** Returns the name of the file with the comparison of two lists of layers. */
export function changesName(from: readonly string[], to: readonly string[]): string {
  const hash = new Bun.CryptoHasher('sha256').update(JSON.stringify([from, to])).digest('hex')
  return `changes-${hash}.db`
}

/** Removes the index of a layer whose bytes were deleted. Comparisons with it are removed when they are not used. */
export async function removeIndex(data: string, layer: string): Promise<void> {
  await rm(join(data, INDEXES_FOLDER, indexName(layer)), { force: true })
}
