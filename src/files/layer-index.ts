import { Database, type Statement } from 'bun:sqlite'

/** The kinds of entries, by the number that an index stores. */
export const ENTRY_KINDS = [
  'file',
  'directory',
  'symlink',
  'hardlink',
  'character-device',
  'block-device',
  'fifo',
  'whiteout',
] as const
export type EntryKind = (typeof ENTRY_KINDS)[number]

export const KIND = Object.fromEntries(ENTRY_KINDS.map((kind, at) => [kind, at])) as Record<EntryKind, number>

/** The id of the root directory of a layer. */
export const ROOT = 1

/** The version of the format. Indexes of other versions are created again. */
export const INDEX_VERSION = 1

export const SCHEMA = `
  CREATE TABLE entry (
    dir INTEGER NOT NULL, name TEXT NOT NULL, kind INTEGER NOT NULL, mode INTEGER, uid INTEGER, gid INTEGER,
    mtime REAL, size INTEGER NOT NULL, start INTEGER NOT NULL, hash BLOB, link TEXT, child INTEGER,
    hides INTEGER NOT NULL, PRIMARY KEY (dir, name)
  ) WITHOUT ROWID;
  CREATE TABLE directory (id INTEGER PRIMARY KEY, parent INTEGER NOT NULL, name TEXT NOT NULL);
  CREATE TABLE summary (entries INTEGER NOT NULL, problems TEXT NOT NULL);
`

/** An entry of a layer, as its index stores it. */
export interface EntryRow {
  dir: number
  name: string
  kind: number
  /** Null for a directory that the archive does not contain, only files in it. */
  mode: number | null
  uid: number | null
  gid: number | null
  /** Seconds since 1970. */
  mtime: number | null
  /** Bytes. */
  size: number
  /** Where its content begins in the uncompressed archive; -1 if it cannot be read (sparse files). */
  start: number
  /** The SHA-256 of the content of a file. */
  hash: Uint8Array | null
  /** The target of a link. */
  link: string | null
  /** The id of a directory. */
  child: number | null
  /** Whether it hides what lower layers have below this name. */
  hides: number
}

/** An anomaly of an archive, which runtimes may treat differently. */
export interface LayerProblem {
  path: string
  reason: string
}

interface DirectoryRow {
  parent: number
  name: string
}

/** The index of a layer: its files by directory and name. */
export class LayerIndex {
  /** The digest of the layer. */
  readonly layer: string
  private readonly database: Database
  private readonly one: Statement<EntryRow, [number, string]>
  private readonly page: Statement<EntryRow, [number, string, number]>
  private readonly matching: Statement<EntryRow, [number, string, string, number]>
  private readonly directory: Statement<DirectoryRow, [number]>

  /** @throws Error when the file is not a complete index of this version */
  constructor(layer: string, file: string) {
    this.layer = layer
    this.database = new Database(file, { readonly: true, safeIntegers: false })
    try {
      this.database.run('PRAGMA cache_size = -128')
      const version = this.database
        .query<{ user_version: number }, []>('PRAGMA user_version')
        .get()?.user_version
      if (version !== INDEX_VERSION) throw new Error(`an index of version ${version}`)
      this.one = this.database.prepare('SELECT * FROM entry WHERE dir = ? AND name = ?')
      this.page = this.database.prepare(
        'SELECT * FROM entry WHERE dir = ? AND name > ? ORDER BY name LIMIT ?',
      )
      this.matching = this.database.prepare(
        'SELECT * FROM entry WHERE (dir, name) > (?, ?) AND instr(lower(name), ?) > 0 ORDER BY dir, name LIMIT ?',
      )
      this.directory = this.database.prepare('SELECT parent, name FROM directory WHERE id = ?')
    } catch (error) {
      this.database.close()
      throw error
    }
  }

  find(dir: number, name: string): EntryRow | undefined {
    return this.one.get(dir, name) ?? undefined
  }

  /** Returns the entries of a directory after the one named `after`, by name. */
  list(dir: number, after: string, limit: number): EntryRow[] {
    return this.page.all(dir, after, limit)
  }

  /** Returns the entries whose names contain the lower-case text, after a position. */
  search(text: string, after: { dir: number; name: string }, limit: number): EntryRow[] {
    return this.matching.all(after.dir, after.name, text, limit)
  }

  /** Returns the path of a directory; undefined if another entry has replaced it or one above it. */
  pathOf(dir: number): string[] | undefined {
    const path: string[] = []
    for (let id = dir; id !== ROOT; ) {
      const row = this.directory.get(id)
      if (row === null || this.find(row.parent, row.name)?.child !== id) return undefined
      path.unshift(row.name)
      id = row.parent
    }
    return path
  }

  summary(): { entries: number; problems: LayerProblem[] } {
    const row = this.database.query<{ entries: number; problems: string }, []>('SELECT * FROM summary').get()
    if (row === null) throw new Error('an index without a summary')
    return { entries: row.entries, problems: JSON.parse(row.problems) as LayerProblem[] }
  }

  /** Statements that are not finalized would keep the file open. */
  close(): void {
    for (const statement of [this.one, this.page, this.matching, this.directory]) statement.finalize()
    this.database.close()
  }
}
