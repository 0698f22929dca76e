import { type EntryRow, KIND, type LayerIndex, ROOT } from './layer-index.ts'
import { DEPTH_MAX } from './member-path.ts'

/** How many rows one page reads at most. A page that reaches this is short, and continues from its cursor. */
const ROWS_MAX = 20_000

/** How many links to links are followed. */
const LINKS_MAX = 8

/** A directory of a layer that contributes to a directory of the view. */
export interface Place {
  index: LayerIndex
  dir: number
}

/** An entry of the view, with the layer that it is from. */
export interface Found {
  row: EntryRow
  index: LayerIndex
  /** For a directory: its parts in each layer, the uppermost first. */
  places: Place[]
}

/** A part of a directory. `next` is the name to continue after, if there may be more. */
export interface FoundPage {
  items: Found[]
  next: string | undefined
}

/**
 * The files of one layer, or of an image: its layers on top of each other, without what whiteouts and opaque directories
 * of upper layers hide (OCI image-spec, layer.md). Symlinks are never followed.
 */
export class View {
  private readonly layers: readonly LayerIndex[]
  /** Whether whiteouts are shown as entries: in a single layer. */
  private readonly showsWhiteouts: boolean

  /** @param layers the uppermost first */
  constructor(layers: readonly LayerIndex[], { showsWhiteouts }: { showsWhiteouts: boolean }) {
    this.layers = layers
    this.showsWhiteouts = showsWhiteouts
  }

  root(): Place[] {
    const places: Place[] = []
    for (const index of this.layers) {
      places.push({ index, dir: ROOT })
      if (index.find(ROOT, '') !== undefined) break
    }
    return places
  }

  /** Returns the entry at a path; undefined if there is none. The root has no entry, only places. */
  find(path: readonly string[]): Found | undefined {
    let places = this.root()
    let found: Found | undefined
    for (const name of path.slice(0, DEPTH_MAX + 1)) {
      found = this.merge(places.map(({ index, dir }) => ({ index, row: index.find(dir, name) })))
      if (found === undefined) return undefined
      places = found.places
    }
    return found
  }

  /** Returns the parts of a directory; undefined if there is no directory at the path. */
  directory(path: readonly string[]): Place[] | undefined {
    if (path.length === 0) return this.root()
    const found = this.find(path)
    return found?.row.kind === KIND.directory ? found.places : undefined
  }

  /** Lists a directory by name, after the one named `after`. */
  list(places: readonly Place[], after: string, limit: number): FoundPage {
    const readers = places.map((place) => new Reader(place, after, Math.min(limit + 1, 500)))
    const items: Found[] = []
    let last = after
    for (let rows = 0; items.length < limit; ) {
      const name = smallest(readers)
      if (name === undefined) return { items, next: undefined }
      if (rows > ROWS_MAX) return { items, next: last }
      const candidates = readers.map((reader) => ({ index: reader.place.index, row: reader.takeIf(name) }))
      rows += candidates.length
      const found = this.merge(candidates)
      if (found !== undefined) items.push(found)
      last = name
    }
    return { items, next: smallest(readers) === undefined ? undefined : last }
  }

  /** Returns the file that an entry stands for: itself, or what a hard link leads to. Undefined if that is missing. */
  target(found: Found): Found | undefined {
    let at: Found | undefined = found
    for (let links = 0; at?.row.kind === KIND.hardlink; links++) {
      if (links === LINKS_MAX) return undefined
      at = this.find((at.row.link ?? '').split('/').filter((part) => part !== '' && part !== '.'))
    }
    return at
  }

  /** Combines what the layers have at one name, the uppermost first. */
  private merge(candidates: { index: LayerIndex; row: EntryRow | undefined }[]): Found | undefined {
    let found: Found | undefined
    for (const { index, row } of candidates) {
      if (row === undefined) continue
      if (row.kind !== KIND.directory) {
        const isShown = row.kind !== KIND.whiteout || this.showsWhiteouts
        if (found === undefined && isShown) return { row, index, places: [] }
        break
      }
      const place = { index, dir: row.child ?? 0 }
      if (found === undefined) found = { row, index, places: [place] }
      else {
        // A directory that an archive only implies has the attributes that a lower layer gave it.
        if (found.row.mode === null && row.mode !== null) found = { ...found, row, index }
        found.places.push(place)
      }
      if (row.hides) break
    }
    return found
  }
}

/** Reads the entries of one directory of one layer in order. */
class Reader {
  readonly place: Place
  private rows: EntryRow[] = []
  private at = 0
  private after: string
  private readonly size: number
  private isEnded = false

  constructor(place: Place, after: string, size: number) {
    this.place = place
    this.after = after
    this.size = size
  }

  head(): EntryRow | undefined {
    if (this.at === this.rows.length && !this.isEnded) {
      this.rows = this.place.index.list(this.place.dir, this.after, this.size)
      this.at = 0
      this.after = this.rows.at(-1)?.name ?? this.after
      this.isEnded = this.rows.length < this.size
    }
    return this.rows[this.at]
  }

  takeIf(name: string): EntryRow | undefined {
    const row = this.head()
    if (row?.name !== name) return undefined
    this.at++
    return row
  }
}

/** Returns the smallest next name in the order of the indexes, which is that of UTF-8. */
function smallest(readers: readonly Reader[]): string | undefined {
  let least: string | undefined
  for (const reader of readers) {
    const name = reader.head()?.name
    if (name !== undefined && (least === undefined || compareNames(name, least) < 0)) least = name
  }
  return least
}

/** Compares two names by their code points, as SQLite does. JavaScript compares UTF-16, which differs above U+FFFF. */
export function compareNames(a: string, b: string): number {
  if (a === b) return 0
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const [x, y] = [a.charCodeAt(at), b.charCodeAt(at)]
    if (x !== y) return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1
  }
  return a.length - b.length
}

function isSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit <= 0xdfff
}
