import { Database } from 'bun:sqlite'
import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { Metadata } from '../../src/database/metadata.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import {
  descriptor,
  digestOf,
  EMPTY,
  imageIndex,
  imageManifest,
  type Named,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { AT, link, open, put, remove } from '../support/writes.ts'

const resources = new AsyncDisposableStack()
let metadata: Metadata
let db: Database
beforeAll(async () => {
  const folder = resources.use(await temporaryFolder('reachability'))
  metadata = await open(folder.path)
  resources.defer(() => metadata.close())
  db = resources.use(new Database(join(folder.path, 'cay.db'), { readonly: true }))
})
afterAll(() => resources.disposeAsync())

/** Creates a repository whose clock advances by 1 with each write. */
async function repository(name: string) {
  let at = AT
  const next = <C extends { at: number }>(call: C): C => ({ ...call, at: ++at })
  await metadata.write(...link(name, EMPTY))
  return {
    async push(manifest: Named, ...tags: string[]): Promise<number> {
      const [operation, call] = put(name, manifest, tags)
      await metadata.write(operation, next({ ...call, optionalRoles: ['child'] }))
      return at
    },
    async delete(reference: Named | string): Promise<number> {
      const named = typeof reference === 'string' ? { tag: reference } : digestIn(reference)
      const [operation, call] = remove(name, named)
      await metadata.write(operation, next(call))
      return at
    },
    /** Returns what is marked, and since when. */
    marks(manifest: Named) {
      return db
        .query(
          `select m.unreferenced_at as unreferenced, m.untagged_at as untagged from manifest m
           join repository r on r.id = m.repository_id where r.name = ? and m.digest = unhex(?)`,
        )
        .get(name, manifest.digest.slice(7))
    },
  }
}

const digestIn = ({ digest }: Named) => ({ digest: parseDigest(digest) })
const image = (n: string, more: object = {}) => imageManifest(EMPTY, [], { annotations: { n }, ...more })
const indexOf = (n: string, ...children: Named[]) =>
  imageIndex(
    children.map((child) => descriptor(child, OCI_MANIFEST)),
    { annotations: { n } },
  )
const referrerOf = (n: string, subject: Named) => image(n, { subject: descriptor(subject, OCI_MANIFEST) })
const REACHED = { unreferenced: null, untagged: null }
const unreferenced = (at: number) => ({ unreferenced: at, untagged: null })
const untagged = (at: number) => ({ unreferenced: null, untagged: at })

test('reachability: a manifest is reached by its tags, and is garbage from when the last one leaves it', async () => {
  const { push, marks, ...r } = await repository('tags')
  const [a, b] = [image('a'), image('b')]
  await push(a, 'one', 'two')
  expect(marks(a)).toEqual(REACHED)
  await push(b, 'one')
  expect(marks(a)).toEqual(REACHED)
  const moved = await push(b, 'two')
  expect(marks(a)).toEqual(unreferenced(moved))
  expect([await push(a), marks(a)]).toEqual([AT + 4, unreferenced(AT + 4)])
  await push(a, 'two')
  expect([marks(a), marks(b)]).toEqual([REACHED, REACHED])
  expect([await r.delete('two'), marks(a)]).toEqual([AT + 6, unreferenced(AT + 6)])
  await r.delete(a)
  expect(marks(a)).toEqual(REACHED)
})

test('reachability: a manifest pushed by digest counts as untagged until a tag reaches it', async () => {
  const { push, marks, ...r } = await repository('untagged')
  const a = image('a')
  expect([await push(a), marks(a)]).toEqual([AT + 1, untagged(AT + 1)])
  expect([await push(a), marks(a)]).toEqual([AT + 2, untagged(AT + 2)])
  await push(a, 't')
  expect(marks(a)).toEqual(REACHED)
  await push(a)
  expect(marks(a)).toEqual(REACHED)
  await r.delete(a)
  expect([await push(a), marks(a)]).toEqual([AT + 6, untagged(AT + 6)])
})

test('reachability: an index reaches its entries, in either push order, until the last index is deleted', async () => {
  const { push, marks, ...r } = await repository('indexes')
  const [before, after] = [image('before'), image('after')]
  const [one, two] = [indexOf('one', before, after), indexOf('two', before)]
  await push(before)
  await push(one, 'one')
  await push(after)
  await push(two)
  expect([before, after, one].map(marks)).toEqual([REACHED, REACHED, REACHED])
  const deleted = await r.delete(one)
  expect([before, after].map(marks)).toEqual([REACHED, unreferenced(deleted)])
  const gone = await r.delete(two)
  expect(marks(before)).toEqual(unreferenced(gone))
  await push(one)
  expect([before, after].map(marks)).toEqual([REACHED, REACHED])
})

test('reachability: a subject reaches its referrers, in either push order, while it exists', async () => {
  const { push, marks, ...r } = await repository('referrers')
  const subject = image('subject')
  const [early, late] = [referrerOf('early', subject), referrerOf('late', subject)]
  const second = referrerOf('second', late)
  expect([await push(early), marks(early)]).toEqual([AT + 1, untagged(AT + 1)])
  await push(subject, 't')
  await push(late)
  await push(second)
  expect([early, late, second].map(marks)).toEqual([REACHED, REACHED, REACHED])
  await r.delete('t')
  expect([early, late].map(marks)).toEqual([REACHED, REACHED])
  const deleted = await r.delete(subject)
  expect([early, late, second].map(marks)).toEqual([unreferenced(deleted), unreferenced(deleted), REACHED])
  await push(subject, 't')
  expect([early, late, second].map(marks)).toEqual([REACHED, REACHED, REACHED])
})

test('reachability: a reference by any digest of a manifest reaches it', async () => {
  const { push, marks, ...r } = await repository('algorithms')
  const child = image('child')
  const sha512 = { ...child, digest: digestOf(child.bytes, 'sha512') }
  const [index, referrer] = [indexOf('index', sha512), referrerOf('referrer', sha512)]
  await push(index, 'index')
  await push(referrer)
  expect(marks(referrer)).toEqual(untagged(AT + 2))
  const [operation, call] = put('algorithms', child, [])
  await metadata.write(operation, { ...call, digest: parseDigest(sha512.digest) })
  const marksOfChild = () =>
    db
      .query(
        'select unreferenced_at as unreferenced, untagged_at as untagged from manifest where digest = unhex(?)',
      )
      .get(sha512.digest.slice(7))
  expect([marksOfChild(), marks(referrer)]).toEqual([REACHED, REACHED])
  const deleted = await r.delete(index)
  expect(marksOfChild()).toEqual(unreferenced(deleted))
})

test('reachability: content of another repository reaches nothing', async () => {
  const [mine, other] = [await repository('mine'), await repository('other')]
  const child = image('of both')
  const index = indexOf('of both', child)
  await other.push(child)
  await other.push(index, 't')
  await mine.push(child)
  expect([mine.marks(child), other.marks(child)]).toEqual([untagged(AT + 1), REACHED])
  await other.delete(index)
  expect(mine.marks(child)).toEqual(untagged(AT + 1))
})

test('reachability: a blob pushed after the manifest that references it is in use', async () => {
  const layer = randomBlob(7)
  const [operation, call] = put('late', imageManifest(EMPTY, [layer]), ['t'])
  await metadata.write(operation, { ...call, optionalRoles: ['config', 'layer'] })
  await metadata.write(...link('late', layer))
  const marks = db
    .query(
      'select l.unreferenced_at as at from repository_blob l join blob b on b.id = l.blob_id where b.digest = unhex(?)',
    )
    .all(layer.digest.slice(7))
  expect(marks).toEqual([{ at: null }])
})
