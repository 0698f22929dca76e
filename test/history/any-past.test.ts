import { afterAll, beforeAll, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  type Digest,
  parseDigest,
  parseRepositoryName,
  parseTag,
  type RepositoryName,
} from '../../src/oci/reference.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  type Named,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { openMachine } from '../support/time-machine.ts'
import { link, put, remove } from '../support/writes.ts'

const LAYERS = [randomBlob(10), randomBlob(20)] as const
const IMAGES = [
  imageManifest(EMPTY, [LAYERS[0]]),
  imageManifest(EMPTY, [LAYERS[1]]),
  imageManifest(EMPTY, []),
] as [Named, Named, Named]
const INDEX = imageIndex(IMAGES.slice(0, 2).map((image) => descriptor(image, OCI_MANIFEST)))
const MANIFESTS = [...IMAGES, INDEX]

let m: Awaited<ReturnType<typeof openMachine>>
beforeAll(async () => {
  m = await openMachine()
})
afterAll(() => m[Symbol.asyncDispose]())

/** One act on a repository. `n` chooses among what exists. */
type Act = [
  kind: 'push' | 'drop-tag' | 'drop-manifest' | 'tag' | 'end' | 'restore-tag' | 'restore' | 'rewind' | 'wait',
  n: number,
  tag: string,
]

const act = fc.tuple(
  fc.constantFrom<Act[0]>(
    'push',
    'push',
    'drop-tag',
    'drop-manifest',
    'tag',
    'end',
    'restore-tag',
    'restore',
    'rewind',
    'wait',
  ),
  fc.nat(1000),
  fc.constantFrom('a', 'b', 'c'),
)

/** Runs an act that may be refused with a RegistryError, in which case it has changed nothing. */
async function tryWrite(write: Promise<unknown>): Promise<void> {
  await write.catch((error: { status?: number }) => expect([400, 404, 409]).toContain(error.status ?? 0))
}

async function play(name: RepositoryName, [kind, n, tagName]: Act, times: number[]): Promise<void> {
  const { metadata, clock } = m
  const manifest = MANIFESTS[n % MANIFESTS.length] as Named
  const digest = parseDigest(manifest.digest)
  const tag = { ...m.who(), repository: name, tag: parseTag(tagName) }
  const restore = { ...m.restore(), repository: name }
  const to = times[n % times.length] as number
  switch (kind) {
    case 'push': {
      for (const blob of [EMPTY, ...LAYERS]) {
        const [write, call] = link(name, blob)
        await metadata.write(write, { ...call, at: clock.time })
      }
      for (const one of manifest === INDEX ? [IMAGES[0], IMAGES[1], INDEX] : [manifest]) {
        const [write, call] = put(name, one, one === manifest ? [tagName] : [])
        const ends = n % 5 === 0 ? { expiresAfterSeconds: 1 + (n % 7) } : {}
        await metadata.write(write, { ...call, ...ends, at: clock.time })
      }
      return
    }
    case 'drop-tag':
    case 'drop-manifest': {
      const [write, call] = remove(name, kind === 'drop-tag' ? { tag: tagName } : { digest })
      return tryWrite(metadata.write(write, { ...call, at: clock.time }))
    }
    case 'tag':
      return tryWrite(metadata.write('putTag', { ...tag, digest }))
    case 'end':
      return tryWrite(
        metadata.write('expireTag', { ...tag, expiresAt: n % 3 ? clock.time + (n % 9) * 1000 : null }),
      )
    case 'restore-tag':
      return tryWrite(
        metadata.write('restoreTag', { ...restore, ...tag, to: n % 2 ? { digest } : { at: to } }),
      )
    case 'restore':
      return tryWrite(metadata.write('restoreManifest', { ...restore, digest }))
    case 'rewind':
      return tryWrite(metadata.write('rewindRepository', { ...restore, to }))
    case 'wait':
      clock.advance(n % 4)
  }
}

const tagsOf = (name: RepositoryName, at: number) =>
  Object.fromEntries(
    (m.here.tags.list(name, '', 100, at) ?? []).map((tag) => [
      tag,
      metadata().manifests.find(name, { tag }, at)?.digest,
    ]),
  )
const metadata = () => m.metadata

/** Checks that every tag points at a manifest with its blobs, and that exactly the unreachable content is garbage. */
function checkWhole(name: RepositoryName, tags: Record<string, Digest | undefined>): void {
  for (const digest of Object.values(tags)) {
    expect(digest).toBeDefined()
    const image = IMAGES.findIndex((one) => one.digest === digest)
    const layer = LAYERS[image]
    if (layer) expect(metadata().blobs.findSize(name, parseDigest(layer.digest))).toBe(layer.bytes.length)
  }
  const wrong = m.sql(`select m.id from manifest m join repository r on r.id = m.repository_id
    where r.name = '${name}' and m.deleted_at is null
    and (m.unreferenced_at is null and m.untagged_at is null) <> (
      exists (select 1 from tag t where t.manifest_id = m.id)
      or exists (select 1 from manifest_reference f join manifest p on p.id = f.manifest_id
        where f.digest = m.digest and p.repository_id = m.repository_id and f.role = 'child' and p.deleted_at is null))`)
  expect(wrong).toEqual([])
}

test('rewind: after any acts, it restores the state of any time', async () => {
  let run = 0
  await fc.assert(
    fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 25 }), async (acts) => {
      const name = parseRepositoryName(`any-${run++}`)
      const { clock } = m
      await metadata().write('putRepository', { ...m.who(), repository: name })
      const moments: { at: number; tags: Record<string, Digest | undefined> }[] = []
      for (const one of acts) {
        clock.advance()
        await play(name, one, [clock.time - 3000, ...moments.map(({ at }) => at)])
        const tags = tagsOf(name, clock.time)
        checkWhole(name, tags)
        moments.push({ at: clock.time, tags })
      }
      for (const { at, tags } of moments.reverse()) {
        clock.advance()
        await metadata().write('rewindRepository', { ...m.restore(), repository: name, to: at })
        expect(tagsOf(name, clock.time)).toEqual(tags)
        checkWhole(name, tags)
      }
    }),
    { numRuns: 30 },
  )
}, 60_000)
