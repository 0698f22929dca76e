import { afterEach, beforeEach, expect, test } from 'bun:test'
import type { Candidate } from '../../src/garbage/candidates.ts'
import { parseDigest, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { type CollectedRegistry, DAY, openCollectedRegistry } from '../support/collected-registry.ts'
import { descriptor, EMPTY, imageIndex, imageManifest, OCI_MANIFEST, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { CALLER } from '../support/writes.ts'

let cay: CollectedRegistry
beforeEach(async () => {
  cay = await openCollectedRegistry()
  cay.wait(DAY)
})
afterEach(() => cay[Symbol.asyncDispose]())

const a = parseRepositoryName('a')

async function pushImage(tags: string[], repository = 'a', more: object = {}) {
  const layer = randomBlob(100)
  for (const blob of [EMPTY, layer]) await cay.pushBlob(blob, repository)
  const image = imageManifest(EMPTY, [layer], more)
  await cay.pushManifest(image, tags, repository)
  return { image, layer }
}

/** Lists every candidate, in pages of this size. */
async function candidates(limit: number): Promise<Candidate[]> {
  const items: Candidate[] = []
  let next: string | undefined
  do {
    const page = await cay.garbage.candidates({ cursor: next, limit })
    expect(page.items.length).toBeLessThanOrEqual(limit)
    items.push(...page.items)
    next = page.next
  } while (next !== undefined)
  return items
}

const explain = (digest: string, repository?: string) =>
  cay.garbage.explain(
    parseDigest(digest),
    repository === undefined ? undefined : parseRepositoryName(repository),
  )

test('gc candidates: a dry run says what will be deleted, why, when, and how many bytes that frees', async () => {
  const kept = await pushImage(['kept'])
  const { image, layer } = await pushImage([])
  const index = imageIndex([descriptor(image, OCI_MANIFEST)])
  await cay.pushManifest(index, ['t'])
  const blob = randomBlob(7)
  await cay.pushBlob(blob)
  await pushImage(['t'], 'gone')
  const at = cay.now()
  await cay.delete('t')
  await cay.delete(kept.image.digest)
  const write = { caller: CALLER, at, repository: parseRepositoryName('gone') }
  await cay.metadata.write('deleteRepository', write)
  await pushImage(['soon'], 'b')
  await cay.metadata.write('expireTag', {
    caller: CALLER,
    at,
    repository: parseRepositoryName('b'),
    tag: parseTag('soon'),
    expiresAt: at + 5,
  })
  const found = await candidates(100)
  const collectableAt = at + 10 * DAY
  const common = { tag: undefined, digest: undefined, since: at, repository: a, collectableAt }
  expect(found).toEqual([
    expect.objectContaining({ kind: 'tag', repository: 'b', tag: 'soon', collectableAt: at + 5 }),
    {
      ...common,
      kind: 'manifest',
      digest: parseDigest(kept.image.digest),
      why: 'deleted',
      bytes: kept.image.bytes.length + 100,
    },
    {
      ...common,
      kind: 'manifest',
      digest: parseDigest(index.digest),
      why: 'unreferenced',
      bytes: index.bytes.length + image.bytes.length + layer.bytes.length,
    },
    {
      ...common,
      kind: 'repository',
      repository: parseRepositoryName('gone'),
      why: 'deleted',
      bytes: 100,
    },
    {
      ...common,
      kind: 'blob',
      digest: parseDigest(blob.digest),
      why: 'unreferenced',
      collectableAt: at + DAY,
      bytes: 7,
    },
  ])
  expect(await candidates(1)).toEqual(found)
  expect(await candidates(2)).toEqual(found)
  expect(await cay.garbage.totals()).toEqual({
    tags: 1,
    manifests: 2,
    repositories: 1,
    blobs: 1,
    isComplete: true,
    bytes: found.reduce((sum, { bytes }) => sum + bytes, 0),
  })
})

test('gc candidates: manifests that never had a tag are included when a policy says so', async () => {
  for (const repository of ['a', 'b', 'c']) {
    await pushImage([], repository)
    await pushImage([], repository)
  }
  expect(await candidates(100)).toEqual([])
  const write = { caller: CALLER, at: cay.now() }
  for (const [name, untaggedDays] of [
    ['a', 0],
    ['b', 30],
  ] as const) {
    const repository = parseRepositoryName(name)
    await cay.metadata.write('changeRepository', { ...write, repository, change: { untaggedDays } })
  }
  const found = await candidates(1)
  expect(found.map(({ repository, why }) => [repository as string, why])).toEqual([
    ['b', 'untagged'],
    ['b', 'untagged'],
  ])
  expect(found[0]?.collectableAt).toBe(cay.now() + 30 * DAY)
})

test('gc candidates: an invalid cursor is refused', async () => {
  for (const cursor of ['x', '1.2.3', '1.2.3.-4', '1.2.3.4.5']) {
    expect((await failureOf(cay.garbage.candidates({ cursor, limit: 10 }))).status).toBe(400)
  }
})

test('gc explain: says why content is kept', async () => {
  const { image, layer } = await pushImage(['one', 'two'])
  const index = imageIndex([descriptor(image, OCI_MANIFEST)])
  const referrer = imageManifest(EMPTY, [], { subject: descriptor(image, OCI_MANIFEST) })
  for (const manifest of [index, referrer]) await cay.pushManifest(manifest)
  const kept = { until: undefined }
  expect(await explain(image.digest)).toEqual([
    {
      kind: 'manifest',
      repository: a,
      digest: parseDigest(image.digest),
      collectableAt: undefined,
      reasons: [
        { ...kept, reason: 'tag', names: ['one', 'two'] },
        { ...kept, reason: 'index', names: [index.digest] },
      ],
    },
  ])
  expect((await explain(referrer.digest))[0]?.reasons).toEqual([
    { ...kept, reason: 'subject', names: [image.digest] },
  ])
  expect(await explain(index.digest)).toMatchObject([
    { reasons: [{ ...kept, reason: 'untagged', names: [] }], collectableAt: undefined },
  ])
  expect(await explain(layer.digest)).toMatchObject([
    { kind: 'blob', reasons: [{ reason: 'manifest', names: [image.digest] }], collectableAt: undefined },
  ])
  expect(await explain(EMPTY.digest, 'b')).toEqual([])
})

test('gc explain: says when content will be deleted', async () => {
  const { image } = await pushImage(['t'])
  const blob = randomBlob(7)
  await cay.pushBlob(blob)
  const at = cay.now()
  await cay.delete('t')
  expect(await explain(image.digest)).toMatchObject([
    { collectableAt: at + 10 * DAY, reasons: [{ reason: 'unreferenced', until: at + 10 * DAY }] },
  ])
  expect(await explain(blob.digest)).toMatchObject([
    { collectableAt: at + DAY, reasons: [{ reason: 'pushed', until: at + DAY }] },
  ])
  cay.wait(5)
  await cay.delete(image.digest)
  expect(await explain(image.digest)).toMatchObject([
    { collectableAt: at + 5 + 10 * DAY, reasons: [{ reason: 'deleted', until: at + 5 + 10 * DAY }] },
  ])
  cay.wait(5)
  await cay.metadata.write('deleteRepository', { caller: CALLER, at: cay.now(), repository: a })
  expect(await explain(EMPTY.digest)).toMatchObject([
    {
      collectableAt: at + 10 + 10 * DAY,
      reasons: [{ reason: 'manifest' }, { reason: 'repository-deleted' }],
    },
  ])
})

test('gc explain: content kept only by expiring tags is deleted after the last of them', async () => {
  const { image } = await pushImage(['early', 'late'])
  const at = cay.now()
  const expire = async (tag: string, expiresAt: number | null) => {
    const write = { caller: CALLER, at, repository: a, tag: parseTag(tag), expiresAt }
    await cay.metadata.write('expireTag', write)
  }
  await expire('early', at + 5)
  expect(await explain(image.digest)).toMatchObject([
    { collectableAt: undefined, reasons: [{ until: undefined }] },
  ])
  await expire('late', at + 50)
  const collectableAt = at + 50 + 10 * DAY
  const kept = [
    { collectableAt, reasons: [{ reason: 'tag', names: ['early', 'late'], until: collectableAt }] },
  ]
  expect(await explain(image.digest)).toMatchObject(kept)
  cay.wait(60)
  expect(await explain(image.digest)).toMatchObject(kept)
  await cay.collector.run()
  expect(await explain(image.digest)).toMatchObject([
    { collectableAt, reasons: [{ reason: 'unreferenced' }] },
  ])
})
