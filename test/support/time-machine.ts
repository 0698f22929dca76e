import { Database } from 'bun:sqlite'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { reads } from '../../src/app/metadata.ts'
import { openForReading } from '../../src/database/database.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { Clock } from './clock.ts'
import { EMPTY, imageManifest, type Named } from './content.ts'
import { AT, CALLER, link, open, put, remove } from './writes.ts'

export const DAY_SECONDS = 86_400
/** The repository of these tests. */
export const APP = parseRepositoryName('app')
/** Three manifests of the same config. */
export const [one, two, three] = ['1', '2', '3'].map((n) =>
  imageManifest(EMPTY, [], { annotations: { n } }),
) as [Named, Named, Named]

/** A database with an empty repository, and a clock that each push and deletion advances by a second. */
export async function openMachine() {
  await using resources = new AsyncDisposableStack()
  const folder = resources.use(await temporaryFolder('machine'))
  const metadata = await open(folder.path)
  resources.defer(() => metadata.close())
  const db = openForReading(join(folder.path, 'cay.db'))
  resources.defer(() => db.$client.close())
  const here = reads(db)
  const clock = new Clock(AT)
  await metadata.write(...link('app', EMPTY))
  const kept = resources.move()

  const who = () => ({ caller: CALLER, at: clock.time })
  const at = (tag: string) =>
    metadata.manifests.find(APP, { tag: parseTag(tag) }, clock.time)?.digest as string
  const sql = <T>(query: string) => {
    using db = new Database(join(folder.path, 'cay.db'), { readonly: true })
    return db.query(query).all() as T[]
  }
  return {
    metadata,
    /** The synchronous reads. */
    here,
    folder: folder.path,
    clock,
    who,
    at,
    sql,
    /** The common arguments of a restore, with a window of 14 days. */
    restore: () => ({ ...who(), repository: APP, windowStart: clock.time - 14 * DAY_SECONDS * 1000 }),
    tagCall: (tag: string) => ({ ...who(), repository: APP, tag: parseTag(tag) }),
    async push(manifest: Named, tags: string[], more: object = {}) {
      const [name, call] = put('app', manifest, tags)
      await metadata.write(name, { ...call, ...more, at: clock.time })
      clock.advance()
    },
    async drop(reference: Parameters<typeof remove>[1]) {
      const [name, call] = remove('app', reference)
      await metadata.write(name, { ...call, at: clock.time })
      clock.advance()
    },
    isThere: ({ digest }: Named) => metadata.manifests.findByDigest(APP, parseDigest(digest)) !== undefined,
    /** Returns every tag with its digest. */
    state: () =>
      Object.fromEntries((here.tags.list(APP, '', 100, clock.time) ?? []).map((tag) => [tag, at(tag)])),
    /** Returns the types of all events. */
    events: () => sql<{ type: string }>('select type from event order by id').map(({ type }) => type),
    [Symbol.asyncDispose]: () => kept.disposeAsync(),
  }
}
