import { Database } from 'bun:sqlite'
import { turn } from '../turn.ts'
import { type ShownEntry, toEntry } from './entry.ts'
import { type Change, type ChangesSummary, DIFFERENCES, type Difference } from './file-question.ts'
import { INDEX_VERSION } from './layer-index.ts'
import { DEPTH_MAX } from './member-path.ts'
import { compareNames, type Found, type Place, type View } from './view.ts'

/** How many changes are stored. */
const CHANGES_MAX = 200_000

/** How many entries of a directory are read at a time. */
const PAGE = 200

/** How many entries are compared before other work of the thread gets a turn. */
const TURN_ENTRIES = 2000

export interface ComparisonRun {
  /** Called with the number of entries compared. */
  progress: (done: number) => void
  /** Throws when the comparison should end. */
  check: () => void
}

/** Compares the files of two images, and writes how they differ to a file, in the order of the paths. */
export async function writeChanges(file: string, from: View, to: View, run: ComparisonRun): Promise<void> {
  const database = new Database(file, { create: true })
  try {
    for (const pragma of ['journal_mode = MEMORY', 'synchronous = OFF']) database.run(`PRAGMA ${pragma}`)
    database.run('CREATE TABLE change (number INTEGER PRIMARY KEY, value TEXT NOT NULL)')
    database.run('CREATE TABLE summary (value TEXT NOT NULL)')
    database.run('BEGIN')
    const insert = database.prepare<unknown, [string]>('INSERT INTO change (value) VALUES (?)')
    const comparison = new ImageComparison(from, to, run, (change) => insert.run(JSON.stringify(change)))
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
export function readChanges(
  file: string,
  after: number,
  limit: number,
): { items: Change[]; next: number | undefined; summary: ChangesSummary } {
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
  private readonly run: ComparisonRun
  private readonly write: (change: Change) => void
  private compared = 0

  constructor(from: View, to: View, run: ComparisonRun, write: (change: Change) => void) {
    this.from = from
    this.to = to
    this.run = run
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
      if (++this.compared % TURN_ENTRIES === 0) await this.turn()
      const order = a && b ? compareNames(a.row.name, b.row.name) : a ? -1 : 1
      const old = order <= 0 ? before.take() : undefined
      const young = order >= 0 ? after.take() : undefined
      const name = old?.row.name ?? young?.row.name ?? ''
      this.note([...path, name], old, young)
      if (old?.places.length || young?.places.length)
        await this.compare([...path, name], old?.places ?? [], young?.places ?? [])
    }
  }

  private async turn(): Promise<void> {
    this.run.progress(this.compared)
    await turn()
    this.run.check()
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
