import { LRUCache } from 'lru-cache'
import { readChanges, writeChanges } from './changes.ts'
import { toEntry } from './entry.ts'
import {
  type ChangesAnswer,
  FileError,
  type FileLocation,
  type FileSource,
  type ListAnswer,
  type ListedEntry,
  type SearchAnswer,
  type SearchQuery,
} from './file-question.ts'
import { IndexBuilder } from './index-builder.ts'
import type { IndexFolder } from './index-folder.ts'
import { indexName } from './index-name.ts'
import { type LayerContent, openLayer, readingError } from './layer-bytes.ts'
import { KIND, LayerIndex } from './layer-index.ts'
import { type Match, search } from './search.ts'
import { TarError, TarReader } from './tar-reader.ts'
import { type Found, View } from './view.ts'

/** How many indexes are open at a time. Each takes some 150 KB. */
const OPEN_MAX = 256

/** How often work reports its progress and checks its time limit, in milliseconds. */
const REPORT_MS = 100

export interface IndexLimits {
  /** Uncompressed bytes of a layer. */
  layerBytesMax: number
  /** Files of a layer. */
  entriesMax: number
  /** Bytes of one index. */
  indexBytesMax: number
  /** Seconds that an index or a comparison may take. */
  secondsMax: number
  /** Milliseconds after which a page ends, so that deep paths and chains of links do not block the thread. */
  pageMsMax: number
}

export const INDEX_LIMITS: IndexLimits = {
  layerBytesMax: 64 * 1024 ** 3,
  entriesMax: 2_000_000,
  indexBytesMax: 320 * 1024 ** 2,
  secondsMax: 900,
  pageMsMax: 1000,
}

/** How work reports progress and is cancelled. */
export interface Work {
  signal: AbortSignal
  progress: (done: number) => void
}

/** The indexes of layers in a folder, and what is read from them. */
export class Indexes {
  private readonly folder: IndexFolder
  private readonly limits: IndexLimits
  private readonly open = new LRUCache<string, LayerIndex>({
    max: OPEN_MAX,
    dispose: (index) => index.close(),
  })

  constructor(folder: IndexFolder, limits: IndexLimits = INDEX_LIMITS) {
    this.folder = folder
    this.limits = limits
  }

  /** Returns the layers without an index. */
  missing(layers: readonly string[]): string[] {
    return [...new Set(layers)].filter((layer) => this.folder.find(indexName(layer)) === undefined)
  }

  /**
   * Makes the index of a layer.
   *
   * @param needed layers whose indexes are in use, and stay
   */
  async build(layer: string, content: LayerContent, needed: readonly string[], work: Work): Promise<void> {
    const name = indexName(layer)
    const builder = new IndexBuilder(this.folder.pathToWrite(name), this.limits)
    try {
      await this.read(content, builder, work)
      builder.finish()
    } catch (error) {
      builder.close()
      this.folder.discard(name)
      work.signal.throwIfAborted()
      const reason = readingError(error)
      throw reason instanceof TarError
        ? new FileError({ reason: 'unreadable', message: reason.message })
        : reason
    }
    this.keep(name, needed.map(indexName))
  }

  list(source: FileSource, path: readonly string[], after: string, limit: number): ListAnswer {
    return this.using(source, (view, layers) => {
      const places = view.directory(path)
      if (places === undefined) throw this.notDirectory(view, path)
      const { items, next } = this.inTime(
        view.list(places, after, limit),
        ({ row }) => row.name,
        (found) => listed(view, found, path),
      )
      const problems = layers.flatMap((index) => index.summary().problems).slice(0, 100)
      return { items, next, problems }
    })
  }

  search(source: FileSource, { limit, ...query }: SearchQuery & { limit: number }): SearchAnswer {
    return this.using(source, (view, layers) => {
      const page = search(view, layers, { ...query, limit, msMax: this.limits.pageMsMax })
      const positionOf = ({ layer, row: { dir, name } }: Match) => ({ layer, dir, name })
      return this.inTime(page, positionOf, (match) => listed(view, match, match.path.slice(0, -1)))
    })
  }

  /** Finds the content of a file, also through hard links. */
  locate(source: FileSource, path: readonly string[]): FileLocation {
    return this.using(source, (view) => {
      const found = view.find(path)
      if (found === undefined) throw absent(path)
      const target = view.target(found)
      if (target === undefined)
        throw new FileError({
          reason: 'not-a-file',
          message: `the target of the hard link ${found.row.link} is missing`,
        })
      if (target.row.kind !== KIND.file)
        throw new FileError({ reason: 'not-a-file', message: 'it is not a file with content' })
      if (target.row.start < 0)
        throw new FileError({
          reason: 'not-a-file',
          message: 'it is a sparse file, which cannot be downloaded alone',
        })
      return { layer: target.index.layer, start: target.row.start, size: target.row.size }
    })
  }

  async compare(name: string, from: FileSource, to: FileSource, work: Work): Promise<void> {
    if (this.folder.find(name) !== undefined) return
    const watch = this.watch(work)
    const path = this.folder.pathToWrite(name)
    const [before, after] = [this.viewOf(from), this.viewOf(to)]
    let compared = 0
    const progress = (done: number) => {
      compared = done
    }
    try {
      await writeChanges(path, before.view, after.view, { progress, check: () => watch(compared) })
    } catch (error) {
      this.folder.discard(name)
      if (error instanceof TarError) throw new FileError({ reason: 'unreadable', message: error.message })
      throw error
    }
    this.keep(name, [...from.layers, ...to.layers].map(indexName))
  }

  changes(name: string, after: number, limit: number): ChangesAnswer {
    const file = this.folder.find(name)
    if (file === undefined) throw missing(name)
    try {
      return readChanges(file, after, limit)
    } catch {
      this.folder.remove(name)
      throw missing(name)
    }
  }

  close(): void {
    this.open.clear()
  }

  private async read(content: LayerContent, builder: IndexBuilder, work: Work): Promise<void> {
    const reader = new TarReader(builder)
    const { stream, bytesRead } = await openLayer(content)
    const watch = this.watch(work)
    let bytes = 0
    for await (const chunk of stream) {
      reader.write(chunk)
      bytes += chunk.length
      if (bytes > this.limits.layerBytesMax)
        throw new TarError(`it has more than ${this.limits.layerBytesMax} bytes when it is uncompressed`)
      watch(bytesRead(), () => builder.checkSize())
      // What comes after the end of the archive is not read.
      if (reader.isEnded) break
    }
    reader.end()
    builder.checkSize()
  }

  /** Returns a function that reports progress now and then, and throws when the work is cancelled or takes too long. */
  private watch({ signal, progress }: Work): (done: number, check?: () => void) => void {
    const startedAt = performance.now()
    let reportedAt = startedAt
    return (done, check) => {
      signal.throwIfAborted()
      const now = performance.now()
      if (now - reportedAt < REPORT_MS) return
      reportedAt = now
      if (now - startedAt > this.limits.secondsMax * 1000)
        throw new TarError(`it takes more than ${this.limits.secondsMax} seconds to read`)
      check?.()
      progress(done)
    }
  }

  private keep(name: string, needed: readonly string[]): void {
    const removed = this.folder.keep(name, new Set(needed))
    if (removed === undefined)
      throw new FileError({
        reason: 'full',
        message: 'the indexes of its layers together are too large to be kept',
      })
    for (const other of removed) this.open.delete(other)
  }

  private viewOf({ layers, isImage }: FileSource): { view: View; indexes: LayerIndex[] } {
    const indexes = layers.map((layer) => this.indexOf(layer))
    return { view: new View(indexes, { showsWhiteouts: !isImage }), indexes }
  }

  /** Reads from indexes. A damaged one is removed, so that it is created again. */
  private using<T>(source: FileSource, read: (view: View, indexes: LayerIndex[]) => T): T {
    const { view, indexes } = this.viewOf(source)
    try {
      return read(view, indexes)
    } catch (error) {
      if (error instanceof FileError) throw error
      for (const layer of source.layers) this.drop(layer)
      throw missing(String(error))
    }
  }

  private indexOf(layer: string): LayerIndex {
    const name = indexName(layer)
    const file = this.folder.find(name)
    const known = this.open.get(name)
    if (file === undefined) {
      this.open.delete(name)
      throw missing(layer)
    }
    if (known !== undefined) return known
    try {
      const index = new LayerIndex(layer, file)
      this.open.set(name, index)
      return index
    } catch {
      this.drop(layer)
      throw missing(layer)
    }
  }

  private drop(layer: string): void {
    const name = indexName(layer)
    this.open.delete(name)
    this.folder.remove(name)
  }

  /** Converts the items of a page, at least one. The page ends early if that takes long. */
  private inTime<T, U, P>(
    { items, next }: { items: readonly T[]; next: P | undefined },
    positionOf: (item: T) => P,
    convert: (item: T) => U,
  ): { items: U[]; next: P | undefined } {
    const until = performance.now() + this.limits.pageMsMax
    const converted: U[] = []
    for (const item of items) {
      converted.push(convert(item))
      if (converted.length < items.length && performance.now() > until)
        return { items: converted, next: positionOf(item) }
    }
    return { items: converted, next }
  }

  private notDirectory(view: View, path: readonly string[]): FileError {
    if (view.find(path) === undefined) return absent(path)
    return new FileError({ reason: 'not-a-directory', message: `/${path.join('/')} is not a directory` })
  }
}

function listed(view: View, found: Found, parent: readonly string[]): ListedEntry {
  return { ...toEntry(found, view.target(found)), path: [...parent, found.row.name].join('/') }
}

function missing(what: string): FileError {
  return new FileError({ reason: 'missing', message: `there is no index of ${what}` })
}

function absent(path: readonly string[]): FileError {
  return new FileError({ reason: 'absent', message: `there is no /${path.join('/')}` })
}
