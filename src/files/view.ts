import {
  DEPTH_MAX,
  ENTRY_KINDS,
  type EntryKind,
  type EntryRow,
  KIND,
  type LayerIndex,
  ROOT,
} from './layer-index.ts'

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

  /** Lists a directory by name, after the one named `after`. `next` is the name to continue after, if there may be more. */
  list(places: readonly Place[], after: string, limit: number): { items: Found[]; next: string | undefined } {
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

/** A file, directory or other entry of a layer or an image. */
export interface ShownEntry {
  name: string
  kind: EntryKind
  /** The layer that it is from. */
  layer: string
  /** Bytes; of a hard link, those of the file that it leads to, if that is there. */
  size: number
  /** Permission bits. Undefined for a directory that the archive does not contain, only files in it. */
  mode: number | undefined
  uid: number | undefined
  gid: number | undefined
  /** Milliseconds since 1970. */
  modifiedAt: number | undefined
  /** The target of a link. */
  link: string | undefined
  /** The SHA-256 of its content, in hexadecimal. */
  hash: string | undefined
  /** Whether a directory hides what lower layers have in it. */
  isOpaque: boolean
}

/** The largest time that a Date can hold, in milliseconds. */
const TIME_MAX = 8.64e15

/** @param target the file that a hard link leads to, or the entry itself */
export function toEntry({ row, index }: Found, target: Found | undefined): ShownEntry {
  const { name, kind, mode, uid, gid, mtime, link } = row
  const content = target?.row ?? row
  const time = mtime === null ? Number.NaN : Math.round(mtime * 1000)
  return {
    name,
    kind: ENTRY_KINDS[kind] ?? 'file',
    layer: index.layer,
    size: content.size,
    mode: mode ?? undefined,
    uid: uid ?? undefined,
    gid: gid ?? undefined,
    modifiedAt: Math.abs(time) <= TIME_MAX ? time : undefined,
    link: link ?? undefined,
    hash: content.hash === null ? undefined : Buffer.from(content.hash).toString('hex'),
    isOpaque: kind === KIND.directory && row.hides !== 0,
  }
}

/** How many matches are read at a time. */
const MATCHES_STEP = 100

/** Where a search continues: a layer by its number, and a position in its index. */
export interface SearchPosition {
  layer: number
  dir: number
  name: string
}

export interface Match extends Found {
  /** The number of its layer: an image can have the same layer twice. */
  layer: number
  path: string[]
}

/**
 * Finds the entries below a directory whose names contain a text, without regard to the case of ASCII letters. Layer by
 * layer, the uppermost first: an entry is found in the layer that it is from.
 *
 * @param query.msMax milliseconds after which the call returns what it has
 */
export function search(
  view: View,
  layers: readonly LayerIndex[],
  query: { text: string; below: readonly string[]; after: SearchPosition; limit: number; msMax: number },
): { items: Match[]; next: SearchPosition | undefined } {
  const { text, below, after, limit, msMax } = query
  const until = performance.now() + msMax
  const wanted = text.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
  const items: Match[] = []
  let position = after
  for (let index = layers[position.layer]; index; index = layers[position.layer]) {
    for (;;) {
      const rows = index.search(wanted, position, MATCHES_STEP)
      for (const row of rows) {
        if (items.length === limit) return { items, next: position }
        position = { ...position, dir: row.dir, name: row.name }
        const match = shown(view, index, row, below)
        if (match) items.push({ ...match, layer: position.layer })
        // A single look at a deep path of many layers can take 100 ms.
        if (performance.now() > until) return { items, next: position }
      }
      if (rows.length < MATCHES_STEP) break
    }
    position = { layer: position.layer + 1, dir: 0, name: '' }
    if (performance.now() > until && position.layer < layers.length) return { items, next: position }
  }
  return { items, next: undefined }
}

/** Returns the match if the view shows this entry, and not one of another layer at its path. */
function shown(
  view: View,
  index: LayerIndex,
  row: EntryRow,
  below: readonly string[],
): Omit<Match, 'layer'> | undefined {
  const parent = index.pathOf(row.dir)
  if (parent === undefined || !below.every((part, at) => parent[at] === part)) return undefined
  const path = [...parent, row.name]
  const found = view.find(path)
  const isThis = found?.index === index && found.row.name === row.name && found.row.kind === row.kind
  return isThis && (row.kind !== KIND.directory || found.row.child === row.child)
    ? { ...found, path }
    : undefined
}
