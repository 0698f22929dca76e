import { Database } from 'bun:sqlite'
import { LRUCache } from 'lru-cache'
import { turn } from '../runtime/clock.ts'
import { type LayerContent, openLayer, readingError, TarError, TarReader } from './archive.ts'
import { type IndexFolder, indexName } from './index-folder.ts'
import { DEPTH_MAX, INDEX_VERSION, IndexBuilder, KIND, LayerIndex } from './layer-index.ts'
import {
  type Change,
  type ChangesAnswer,
  type ChangesSummary,
  DIFFERENCES,
  type Difference,
  FileError,
  type FileLocation,
  type FileSource,
  type ListAnswer,
  type ListedEntry,
  type SearchAnswer,
  type SearchQuery,
} from './question.ts'
import {
  compareNames,
  type Found,
  type Match,
  type Place,
  type ShownEntry,
  search,
  toEntry,
  View,
} from './view.ts'

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
      throw reason instanceof TarError ? new FileError('unreadable', reason.message) : reason
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
        throw new FileError('not-a-file', `the target of the hard link ${found.row.link} is missing`)
      if (target.row.kind !== KIND.file) throw new FileError('not-a-file', 'it is not a file with content')
      if (target.row.start < 0)
        throw new FileError('not-a-file', 'it is a sparse file, which cannot be downloaded alone')
      return { layer: target.index.layer, start: target.row.start, size: target.row.size }
    })
  }

  async compare(name: string, from: FileSource, to: FileSource, work: Work): Promise<void> {
    if (this.folder.find(name) !== undefined) return
    const watch = this.watch(work)
    const path = this.folder.pathToWrite(name)
    const [before, after] = [this.viewOf(from), this.viewOf(to)]
    try {
      await writeChanges(path, before.view, after.view, watch)
    } catch (error) {
      this.folder.discard(name)
      if (error instanceof TarError) throw new FileError('unreadable', error.message)
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
      throw new FileError('full', 'the indexes of its layers together are too large to be kept')
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
    return new FileError('not-a-directory', `/${path.join('/')} is not a directory`)
  }
}

function listed(view: View, found: Found, parent: readonly string[]): ListedEntry {
  return { ...toEntry(found, view.target(found)), path: [...parent, found.row.name].join('/') }
}

function missing(what: string): FileError {
  return new FileError('missing', `there is no index of ${what}`)
}

function absent(path: readonly string[]): FileError {
  return new FileError('absent', `there is no /${path.join('/')}`)
}

/** How many changes are stored. */
const CHANGES_MAX = 200_000

/** How many entries of a directory are read at a time. */
const PAGE = 200

/** How many entries are compared before other work of the thread gets a turn. */
const TURN_ENTRIES = 2000

/**
 * Compares the files of two images, and writes how they differ to a file, in the order of the paths.
 *
 * @param watch gets the number of entries compared; throws when the comparison should end
 */
async function writeChanges(
  file: string,
  from: View,
  to: View,
  watch: (compared: number) => void,
): Promise<void> {
  const database = new Database(file, { create: true })
  try {
    for (const pragma of ['journal_mode = MEMORY', 'synchronous = OFF']) database.run(`PRAGMA ${pragma}`)
    database.run('CREATE TABLE change (number INTEGER PRIMARY KEY, value TEXT NOT NULL)')
    database.run('CREATE TABLE summary (value TEXT NOT NULL)')
    database.run('BEGIN')
    const insert = database.prepare<unknown, [string]>('INSERT INTO change (value) VALUES (?)')
    const comparison = new ImageComparison(from, to, watch, (change) => insert.run(JSON.stringify(change)))
    await comparison.compare([], from.root(), to.root())
    database.run('INSERT INTO summary VALUES (?)', [JSON.stringify(comparison.summary)])
    database.run(`PRAGMA user_version = ${INDEX_VERSION}`)
    database.run('COMMIT')
    insert.finalize()
  } finally {
    database.close()
  }
}

/** Reads a page of the changes in a file of `writeChanges`, after the change with the number `after`. */
function readChanges(file: string, after: number, limit: number): ChangesAnswer {
  const database = new Database(file, { readonly: true })
  try {
    const rows = database
      .query<{ number: number; value: string }, [number, number]>(
        'SELECT number, value FROM change WHERE number > ? ORDER BY number LIMIT ?',
      )
      .all(after, limit + 1)
    const summary = database.query<{ value: string }, []>('SELECT value FROM summary').get()
    if (summary === null) throw new Error('a comparison without a summary')
    const shown = rows.slice(0, limit)
    return {
      items: shown.map(({ value }) => JSON.parse(value) as Change),
      next: rows.length > limit ? shown.at(-1)?.number : undefined,
      summary: JSON.parse(summary.value) as ChangesSummary,
    }
  } finally {
    database.close()
  }
}

class ImageComparison {
  readonly summary: ChangesSummary = { added: 0, changed: 0, removed: 0, bytes: 0, truncated: false }
  private readonly from: View
  private readonly to: View
  private readonly watch: (compared: number) => void
  private readonly write: (change: Change) => void
  private compared = 0

  constructor(from: View, to: View, watch: (compared: number) => void, write: (change: Change) => void) {
    this.from = from
    this.to = to
    this.watch = watch
    this.write = write
  }

  /** Compares two directories, of which one may not exist. What is in the same parts of the same layers is the same. */
  async compare(path: string[], from: Place[], to: Place[]): Promise<void> {
    if (isSame(from, to) || path.length > DEPTH_MAX) return
    const [before, after] = [new Listing(this.from, from), new Listing(this.to, to)]
    for (;;) {
      const [a, b] = [before.head(), after.head()]
      if (a === undefined && b === undefined) return
      if (this.summary.truncated) return
      if (++this.compared % TURN_ENTRIES === 0) {
        await turn()
        this.watch(this.compared)
      }
      const order = a && b ? compareNames(a.row.name, b.row.name) : a ? -1 : 1
      const old = order <= 0 ? before.take() : undefined
      const young = order >= 0 ? after.take() : undefined
      const name = old?.row.name ?? young?.row.name ?? ''
      this.note([...path, name], old, young)
      if (old?.places.length || young?.places.length)
        await this.compare([...path, name], old?.places ?? [], young?.places ?? [])
    }
  }

  private note(path: string[], old: Found | undefined, young: Found | undefined): void {
    const from = old && toEntry(old, this.from.target(old))
    const to = young && toEntry(young, this.to.target(young))
    const differs = from && to ? differencesOf(from, to) : []
    if (from && to && differs.length === 0) return
    const change = from && to ? 'changed' : to ? 'added' : 'removed'
    const { summary } = this
    if (summary.added + summary.changed + summary.removed === CHANGES_MAX) {
      summary.truncated = true
      return
    }
    summary[change]++
    summary.bytes += (to?.size ?? 0) - (from?.size ?? 0)
    this.write({ path: path.join('/'), change, differs, from, to })
  }
}

/** The entries of a directory of a view, one after the other. */
class Listing {
  private readonly view: View
  private readonly places: Place[]
  private items: Found[] = []
  private at = 0
  private next: string | undefined = ''

  constructor(view: View, places: Place[]) {
    this.view = view
    this.places = places
  }

  head(): Found | undefined {
    while (this.at === this.items.length && this.next !== undefined && this.places.length > 0) {
      const page = this.view.list(this.places, this.next, PAGE)
      this.items = page.items
      this.at = 0
      this.next = page.next
    }
    return this.items[this.at]
  }

  take(): Found | undefined {
    const found = this.head()
    this.at++
    return found
  }
}

function isSame(a: Place[], b: Place[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ index, dir }, at) => index.layer === b[at]?.index.layer && dir === b[at]?.dir)
  )
}

/** A hard link is compared as the file that it leads to. Times are not compared: every build changes them. */
function differencesOf(from: ShownEntry, to: ShownEntry): Difference[] {
  const kinds = [from, to].map(({ kind }) => (kind === 'hardlink' ? 'file' : kind))
  if (kinds[0] !== kinds[1]) return ['kind']
  const isFile = kinds[0] === 'file'
  const differs: Record<Difference, boolean> = {
    kind: false,
    content: isFile && (from.size !== to.size || from.hash === undefined || from.hash !== to.hash),
    target: !isFile && from.link !== to.link,
    mode: from.mode !== to.mode,
    owner: from.uid !== to.uid || from.gid !== to.gid,
  }
  return DIFFERENCES.filter((name) => differs[name])
}
