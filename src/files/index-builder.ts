import { Database, type Statement } from 'bun:sqlite'
import { INDEX_VERSION, KIND, type LayerProblem, ROOT, SCHEMA } from './layer-index.ts'
import { type MemberPlace, pathText, placeOf } from './member-path.ts'
import { TarError, type TarMember, type TarVisitor } from './tar-reader.ts'

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

export interface BuilderLimits {
  entriesMax: number
  indexBytesMax: number
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
  private readonly limits: BuilderLimits
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

  constructor(file: string, limits: BuilderLimits) {
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
