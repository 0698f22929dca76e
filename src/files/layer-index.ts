import { Database, type Statement } from 'bun:sqlite'
import { TarError, type TarMember, type TarVisitor } from './archive.ts'

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

const SCHEMA = `
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

/** The index of a layer: its files by directory and name. */
export class LayerIndex {
  /** The digest of the layer. */
  readonly layer: string
  private readonly database: Database
  private readonly one: Statement<EntryRow, [number, string]>
  private readonly page: Statement<EntryRow, [number, string, number]>
  private readonly matching: Statement<EntryRow, [number, string, string, number]>
  private readonly directory: Statement<{ parent: number; name: string }, [number]>

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

/** How many problems an index names. */
const PROBLEMS_MAX = 100

/** How many directories are cached while a layer is read. */
const KNOWN_DIRECTORIES_MAX = 4096

const KIND_OF_FLAG: Readonly<Record<string, number>> = {
  '0': KIND.file,
  '7': KIND.file,
  S: KIND.file,
  '1': KIND.hardlink,
  '2': KIND.symlink,
  '3': KIND['character-device'],
  '4': KIND['block-device'],
  '5': KIND.directory,
  '6': KIND.fifo,
}

type Values = [
  dir: number,
  name: string,
  kind: number,
  mode: number | null,
  uid: number | null,
  gid: number | null,
  mtime: number | null,
  size: number,
  start: number,
  hash: Uint8Array | null,
  link: string | null,
  child: number | null,
  hides: number,
]

/** Writes the index of a layer from the members of its archive. */
export class IndexBuilder implements TarVisitor {
  private readonly database: Database
  private readonly limits: { entriesMax: number; indexBytesMax: number }
  private readonly insert: Statement<unknown, Values>
  private readonly replace: Statement<unknown, Values>
  private readonly look: Statement<{ kind: number; child: number | null }, [number, string]>
  private readonly addDirectory: Statement<unknown, [number, number, string]>
  private readonly setHides: Statement<unknown, [number, string]>
  private readonly pageCount: Statement<{ page_count: number }, []>
  private readonly known = new Map<string, number>()
  private readonly problems: LayerProblem[] = []
  private directories = ROOT
  private entries = 0
  private current: { member: TarMember; hasher: Bun.CryptoHasher | undefined } | undefined

  constructor(file: string, limits: { entriesMax: number; indexBytesMax: number }) {
    this.limits = limits
    const database = new Database(file, { create: true })
    this.database = database
    // The file gets its name only when it is complete, so it needs no journal and no sync before.
    for (const pragma of ['journal_mode = MEMORY', 'synchronous = OFF', 'cache_size = -16384'])
      database.run(`PRAGMA ${pragma}`)
    database.run(SCHEMA)
    database.run('BEGIN')
    const values = '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
    this.insert = database.prepare(`INSERT OR IGNORE INTO entry VALUES ${values}`)
    this.replace = database.prepare(
      `INSERT INTO entry VALUES ${values} ON CONFLICT DO UPDATE SET kind = excluded.kind, mode = excluded.mode,
       uid = excluded.uid, gid = excluded.gid, mtime = excluded.mtime, size = excluded.size, start = excluded.start,
       hash = excluded.hash, link = excluded.link, child = excluded.child, hides = max(hides, excluded.hides)`,
    )
    this.look = database.prepare('SELECT kind, child FROM entry WHERE dir = ? AND name = ?')
    this.addDirectory = database.prepare('INSERT INTO directory VALUES (?, ?, ?)')
    this.setHides = database.prepare('UPDATE entry SET hides = 1 WHERE dir = ? AND name = ?')
    this.pageCount = database.prepare('PRAGMA page_count')
  }

  begin(member: TarMember): void {
    const isHashed = KIND_OF_FLAG[member.flag] === KIND.file && member.sparseSize === undefined
    this.current = { member, hasher: isHashed ? new Bun.CryptoHasher('sha256') : undefined }
  }

  content(bytes: Uint8Array): void {
    this.current?.hasher?.update(bytes)
  }

  end(): void {
    const { current } = this
    this.current = undefined
    if (current) this.add(current.member, placeOf(current.member), current.hasher?.digest() ?? null)
  }

  /** @throws TarError when the index is larger than it may be */
  checkSize(): void {
    const bytes = (this.pageCount.get()?.page_count ?? 0) * 4096
    if (bytes > this.limits.indexBytesMax)
      throw new TarError(`its index would be larger than ${this.limits.indexBytesMax} bytes`)
  }

  /** Completes the index. */
  finish(): void {
    this.database.run('INSERT INTO summary VALUES (?, ?)', [this.entries, JSON.stringify(this.problems)])
    this.database.run(`PRAGMA user_version = ${INDEX_VERSION}`)
    this.database.run('COMMIT')
    this.close()
  }

  /** Closes the file, also one that is not complete. Statements that are not finalized would keep it open. */
  close(): void {
    const { insert, replace, look, addDirectory, setHides, pageCount } = this
    for (const statement of [insert, replace, look, addDirectory, setHides, pageCount]) statement.finalize()
    this.database.close()
  }

  private add(member: TarMember, place: MemberPlace, hash: Uint8Array | null): void {
    if (++this.entries > this.limits.entriesMax)
      throw new TarError(`it has more than ${this.limits.entriesMax} files`)
    if (place.does === 'refuse') this.note(place.path, place.reason)
    if (place.does === 'hide') this.hide(place.path)
    if (place.does !== 'add' && place.does !== 'delete') return
    const name = place.path.at(-1)
    // The root itself has no entry.
    if (name === undefined) return
    const dir = this.directoryOf(place.path.slice(0, -1))
    if (dir === undefined) this.note(place.path.join('/'), NOT_A_DIRECTORY)
    else if (place.does === 'delete') this.delete(dir, name)
    else this.addEntry(member, dir, place.path, hash)
  }

  private addEntry(member: TarMember, dir: number, path: string[], hash: Uint8Array | null): void {
    const kind = KIND_OF_FLAG[member.flag]
    if (kind === undefined) {
      this.note(path.join('/'), `its type "${member.flag}" is unknown`)
      return
    }
    const name = path.at(-1) ?? ''
    const isLink = kind === KIND.symlink || kind === KIND.hardlink
    const { mode, uid, gid, mtime, size, start, sparseSize } = member
    const values: Values = [
      dir,
      name,
      kind,
      mode,
      uid,
      gid,
      mtime,
      sparseSize ?? (kind === KIND.file ? size : 0),
      sparseSize === undefined ? start : -1,
      hash,
      isLink ? pathText(member.link.subarray(0, LINK_BYTES_MAX)) : null,
      null,
      0,
    ]
    const known = this.look.get(dir, name)
    if (kind === KIND.directory) {
      const isSame = known?.kind === KIND.directory && known.child !== null
      values[CHILD] = isSame ? known.child : this.newDirectory(dir, name)
      if (!isSame) this.forget(path)
    } else if (known && known.kind !== KIND.whiteout) {
      this.note(path.join('/'), 'it is in the archive more than once; the last one counts')
      if (known.kind === KIND.directory) this.forget(path)
    }
    if (known === null) this.insert.run(...values)
    else this.replace.run(...values)
  }

  private delete(dir: number, name: string): void {
    const values: Values = [dir, name, KIND.whiteout, null, null, null, null, 0, -1, null, null, null, 1]
    if (this.look.get(dir, name) === null) this.insert.run(...values)
    else this.setHides.run(dir, name)
  }

  /** Records that an opaque root hides everything, under a name that no file can have. */
  private hide(path: string[]): void {
    const name = path.at(-1)
    if (name === undefined) {
      this.insert.run(ROOT, '', KIND.whiteout, null, null, null, null, 0, -1, null, null, null, 1)
      return
    }
    const parent = this.directoryOf(path.slice(0, -1))
    if (this.directoryOf(path) === undefined) this.note(path.join('/'), NOT_A_DIRECTORY)
    else if (parent !== undefined) this.setHides.run(parent, name)
  }

  /** Returns the id of a directory, which is created if needed; undefined if something else is in its place. */
  private directoryOf(path: string[]): number | undefined {
    if (path.length === 0) return ROOT
    const key = path.join('/')
    const known = this.known.get(key)
    if (known !== undefined) return known
    const parent = this.directoryOf(path.slice(0, -1))
    const name = path.at(-1)
    if (parent === undefined || name === undefined) return undefined
    const found = this.look.get(parent, name)
    if (found !== null && found.kind !== KIND.directory && found.kind !== KIND.whiteout) return undefined
    const id = found?.child ?? this.newDirectory(parent, name)
    if (found?.child == null)
      this.replace.run(parent, name, KIND.directory, null, null, null, null, 0, -1, null, null, id, 0)
    if (this.known.size >= KNOWN_DIRECTORIES_MAX) this.known.clear()
    this.known.set(key, id)
    return id
  }

  private newDirectory(parent: number, name: string): number {
    this.directories++
    this.addDirectory.run(this.directories, parent, name)
    return this.directories
  }

  /** A path now leads to something else. */
  private forget(path: string[]): void {
    if (this.known.has(path.join('/'))) this.known.clear()
  }

  private note(path: string, reason: string): void {
    if (this.problems.length < PROBLEMS_MAX) this.problems.push({ path, reason })
  }
}

const NOT_A_DIRECTORY = 'a part of its path is not a directory'

const CHILD = 11
const LINK_BYTES_MAX = 4096

/** The longest path and the longest name of a file, in bytes: those of Linux. */
const PATH_BYTES_MAX = 4096
const NAME_BYTES_MAX = 255

/** How many directories a file can be in. */
export const DEPTH_MAX = 256

/** The prefix of files that delete others (OCI image-spec, layer.md, "Whiteouts"). */
const WHITEOUT = '.wh.'
const OPAQUE = '.wh..wh..opq'
/** What AUFS keeps for itself; never a part of the file system. */
const AUFS = '.wh..wh.'

/** Where a member of a layer belongs. */
type MemberPlace =
  | { does: 'add'; path: string[] }
  /** Deletes what lower layers have at the path. */
  | { does: 'delete'; path: string[] }
  /** Hides what lower layers have in the directory. */
  | { does: 'hide'; path: string[] }
  | { does: 'nothing' }
  /** It cannot be shown. `reason` says why. */
  | { does: 'refuse'; path: string; reason: string }

/** Decides where a member belongs from its name. Leading slashes are dropped, as runtimes do. */
function placeOf({ name }: Pick<TarMember, 'name'>): MemberPlace {
  const text = pathText(name)
  if (name.length > PATH_BYTES_MAX)
    return refuse(text.slice(0, 200), `its path is longer than ${PATH_BYTES_MAX} bytes`)
  const path = text.split('/').filter((part) => part !== '' && part !== '.')
  if (path.includes('..')) return refuse(text, 'its path contains ".."')
  if (path.length > DEPTH_MAX) return refuse(text, `it is in more than ${DEPTH_MAX} directories`)
  if (path.some((part) => part.length * 3 > NAME_BYTES_MAX && Buffer.byteLength(part) > NAME_BYTES_MAX))
    return refuse(text, `its name is longer than ${NAME_BYTES_MAX} bytes`)
  return whiteoutOf(path)
}

function refuse(path: string, reason: string): MemberPlace {
  return { does: 'refuse', path, reason }
}

function whiteoutOf(path: string[]): MemberPlace {
  const last = path.at(-1)
  if (last === undefined || !last.startsWith(WHITEOUT)) return { does: 'add', path }
  const parent = path.slice(0, -1)
  if (last === OPAQUE) return { does: 'hide', path: parent }
  if (last.startsWith(AUFS) || last === WHITEOUT) return { does: 'nothing' }
  return { does: 'delete', path: [...parent, last.slice(WHITEOUT.length)] }
}

const strict = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** Decodes a name. Bytes that are not UTF-8 are shown as `\xNN`, so that different names stay different. */
function pathText(bytes: Uint8Array): string {
  try {
    return strict.decode(bytes)
  } catch {
    return [...bytes]
      .map((byte) => (byte < 0x80 ? String.fromCharCode(byte) : `\\x${byte.toString(16)}`))
      .join('')
  }
}
