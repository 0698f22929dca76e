import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { NOBODY } from '../../src/access/access.ts'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import {
  type CollectedRegistry,
  DAY,
  HOUR,
  openCollectedRegistry,
  PUSHER,
} from '../support/collected-registry.ts'
import {
  descriptor,
  EMPTY,
  imageIndex,
  imageManifest,
  type Named,
  OCI_MANIFEST,
  randomBlob,
} from '../support/content.ts'
import { CALLER } from '../support/writes.ts'

let cay: CollectedRegistry
beforeEach(async () => {
  cay = await openCollectedRegistry()
  cay.wait(DAY)
})
afterEach(() => cay[Symbol.asyncDispose]())

/** Pushes an image of one layer, and returns both digests. */
async function pushImage(tags: string[], repository = 'a', more: object = {}) {
  const layer = randomBlob(100)
  for (const blob of [EMPTY, layer]) await cay.pushBlob(blob, repository)
  const image = imageManifest(EMPTY, [layer], more)
  await cay.pushManifest(image, tags, repository)
  return { image, layer }
}

async function collectAfter(ms: number) {
  cay.wait(ms)
  return await cay.collector.run()
}

const subjectOf = (image: Named) => ({ subject: descriptor(image, OCI_MANIFEST) })
const count = (table: string) => (cay.db.query(`select count(*) as n from ${table}`).get() as { n: number }).n

describe('gc: a tagged manifest', () => {
  test('is kept with its blobs', async () => {
    const { image, layer } = await pushImage(['t'])
    const run = await collectAfter(100 * DAY)
    expect(run).toMatchObject({ tags: 0, manifests: 0, blobs: 0, bytes: 0 })
    expect([await cay.hasManifest(image.digest), await cay.hasBlob(layer), cay.hasBytes(layer)]).toEqual([
      true,
      true,
      true,
    ])
  })

  test('that loses its tag is deleted after the window, its blobs a grace later, and bytes with the last link', async () => {
    const { image, layer } = await pushImage(['t'])
    await cay.delete('t')
    await collectAfter(10 * DAY)
    expect(await cay.hasManifest(image.digest)).toBe(true)
    expect(await collectAfter(1)).toMatchObject({ manifests: 1, blobs: 0, bytes: image.bytes.length })
    expect([await cay.hasManifest(image.digest), await cay.hasBlob(layer)]).toEqual([false, true])
    await collectAfter(DAY)
    expect(await cay.hasBlob(layer)).toBe(true)
    expect(await collectAfter(1)).toMatchObject({ blobs: 2, bytes: 100 + EMPTY.bytes.length })
    expect([await cay.hasBlob(layer), cay.hasBytes(layer)]).toEqual([false, false])
    expect(
      ['manifest', 'manifest_bytes', 'manifest_reference', 'blob', 'repository_blob'].map(count),
    ).toEqual([0, 0, 0, 0, 0])
  })

  test('that is deleted is removed after the window', async () => {
    const { image } = await pushImage(['t'])
    await cay.delete(image.digest)
    expect(await collectAfter(10 * DAY)).toMatchObject({ manifests: 0 })
    expect(await collectAfter(1)).toMatchObject({ manifests: 1 })
  })

  test('in one repository keeps only the bytes in another', async () => {
    const { image, layer } = await pushImage(['t'], 'a')
    for (const blob of [EMPTY, layer]) await cay.pushBlob(blob, 'b')
    await cay.pushManifest(image, ['t'], 'b')
    await cay.delete('t', 'a')
    await collectAfter(10 * DAY + 1)
    expect(await collectAfter(DAY + 1)).toMatchObject({ blobs: 0 })
    expect([await cay.hasBlob(layer, undefined, 'a'), await cay.hasBlob(layer, undefined, 'b')]).toEqual([
      false,
      true,
    ])
    expect([cay.hasBytes(layer), await cay.hasManifest('t', undefined, 'b')]).toEqual([true, true])
  })
})

describe('gc: a manifest that never had a tag', () => {
  test('is kept unless a policy says otherwise', async () => {
    const { image } = await pushImage([])
    await collectAfter(1000 * DAY)
    expect(await cay.hasManifest(image.digest)).toBe(true)
  })

  test('is deleted after the configured number of days', async () => {
    await using own = await openCollectedRegistry({
      garbageWindow: { graceMs: DAY, windowMs: 10 * DAY, untaggedDays: 30 },
    })
    await own.pushBlob(EMPTY)
    await own.pushManifest(imageManifest(EMPTY, []))
    own.wait(30 * DAY)
    expect(await own.collector.run()).toMatchObject({ manifests: 0 })
    own.wait(1)
    expect(await own.collector.run()).toMatchObject({ manifests: 1 })
  })
})

describe('gc: parts of a larger whole', () => {
  test('entries of an index are deleted a grace after it', async () => {
    const { image } = await pushImage([])
    const index = imageIndex([descriptor(image, OCI_MANIFEST)])
    await cay.pushManifest(index, ['t'])
    await cay.delete('t')
    expect(await collectAfter(10 * DAY + 1)).toMatchObject({ manifests: 1 })
    expect([await cay.hasManifest(index.digest), await cay.hasManifest(image.digest)]).toEqual([false, true])
    expect(await collectAfter(DAY + 1)).toMatchObject({ manifests: 1 })
    expect(await cay.hasManifest(image.digest)).toBe(false)
  })

  test('an entry that had its own tag is kept for a window after losing it', async () => {
    const { image } = await pushImage(['own'])
    await cay.pushManifest(imageIndex([descriptor(image, OCI_MANIFEST)]), ['t'])
    await cay.delete('t')
    cay.wait(9 * DAY)
    await cay.delete('own')
    await collectAfter(DAY + 1)
    await collectAfter(9 * DAY - 1)
    expect(await cay.hasManifest(image.digest)).toBe(true)
    await collectAfter(1)
    expect(await cay.hasManifest(image.digest)).toBe(false)
  })

  test('referrers are deleted with their subject, in a chain', async () => {
    const { image } = await pushImage(['t'])
    const signature = imageManifest(EMPTY, [], subjectOf(image))
    const countersignature = imageManifest(EMPTY, [], subjectOf(signature))
    for (const referrer of [countersignature, signature]) await cay.pushManifest(referrer)
    await collectAfter(100 * DAY)
    expect(await cay.hasManifest(countersignature.digest)).toBe(true)
    await cay.delete(image.digest)
    expect(await collectAfter(10 * DAY + 1)).toMatchObject({ manifests: 2 })
    expect(await collectAfter(DAY + 1)).toMatchObject({ manifests: 1 })
    expect(count('manifest')).toBe(0)
  })

  test('tags that belong to a manifest by name are deleted with it and recorded in the history', async () => {
    const { image } = await pushImage(['t'])
    const name = image.digest.replace(':', '-')
    for (const tag of [`${name}.sig`, `${name}.att`, `${name}.sbom`, name, `${name}.other`]) {
      await cay.pushManifest(imageManifest(EMPTY, [], { annotations: { tag } }), [tag])
    }
    await cay.delete('t')
    expect(await collectAfter(10 * DAY + 1)).toMatchObject({ manifests: 1, tags: 4 })
    expect(
      (await cay.metadata.tags.list(parseRepositoryName('a'), '', 10, cay.now())) as string[] | undefined,
    ).toEqual([`${name}.other`])
    const last = cay.db.query('select name, digest, account from tag_history order by id desc limit 1').get()
    expect(last).toEqual({ name: `${name}.sbom`, digest: null, account: 'system' })
    expect(await collectAfter(10 * DAY + 1)).toMatchObject({ manifests: 4 })
  })
})

describe('gc: content that a push may reference', () => {
  test('a blob is kept for a grace after its push', async () => {
    const blob = randomBlob(10)
    await cay.pushBlob(blob)
    await collectAfter(DAY)
    expect(await cay.hasBlob(blob)).toBe(true)
    await collectAfter(1)
    expect([await cay.hasBlob(blob), cay.hasBytes(blob)]).toEqual([false, false])
  })

  test('a blob is kept for a grace after a request by a pusher, but not by a reader', async () => {
    const [asked, read] = [randomBlob(10), randomBlob(10)]
    for (const blob of [asked, read]) await cay.pushBlob(blob)
    for (const wait of [6, 18]) {
      cay.wait(wait * HOUR)
      expect([await cay.hasBlob(asked, PUSHER), await cay.hasBlob(read, NOBODY)]).toEqual([true, true])
    }
    await collectAfter(1)
    expect([await cay.hasBlob(asked), await cay.hasBlob(read)]).toEqual([true, false])
    await collectAfter(DAY)
    expect(await cay.hasBlob(asked)).toBe(false)
  })

  test('a manifest due for deletion is kept for a grace after a request by a pusher', async () => {
    const [asked, read] = [await pushImage(['asked']), await pushImage(['read'])]
    for (const tag of ['asked', 'read']) await cay.delete(tag)
    cay.wait(10 * DAY)
    expect(await cay.hasManifest(asked.image.digest, PUSHER)).toBe(true)
    expect(await cay.hasManifest(read.image.digest, NOBODY)).toBe(true)
    await collectAfter(DAY)
    expect([await cay.hasManifest(asked.image.digest), await cay.hasManifest(read.image.digest)]).toEqual([
      true,
      false,
    ])
    await collectAfter(DAY)
    expect(await cay.hasManifest(asked.image.digest)).toBe(false)
  })

  test('a request for content that is not due for deletion writes nothing', async () => {
    const { image, layer } = await pushImage(['t'])
    const fresh = randomBlob(10)
    await cay.pushBlob(fresh)
    cay.wait(DAY / 2)
    const frames = () => (cay.db.query('pragma wal_checkpoint(noop)').get() as { log: number }).log
    const before = frames()
    for (const principal of [PUSHER, NOBODY]) {
      for (const blob of [fresh, layer]) expect(await cay.hasBlob(blob, principal)).toBe(true)
      expect(await cay.hasManifest(image.digest, principal)).toBe(true)
    }
    cay.wait(DAY / 4)
    expect(await cay.hasBlob(fresh, NOBODY)).toBe(true)
    expect(frames()).toBe(before)
    expect(await cay.hasBlob(fresh, PUSHER)).toBe(true)
    expect(frames()).toBeGreaterThan(before)
  })

  test('a mount keeps the blob in the target repository', async () => {
    const { layer } = await pushImage(['t'])
    const mount = { repository: parseRepositoryName('b'), digest: parseDigest(layer.digest), from: undefined }
    for (const wait of [0, DAY]) {
      cay.wait(wait)
      expect(await cay.registry.blobs.mount(CALLER, PUSHER, mount)).toBe(true)
    }
    await collectAfter(1)
    expect(await cay.hasBlob(layer, undefined, 'b')).toBe(true)
    await collectAfter(DAY)
    expect(await cay.hasBlob(layer, undefined, 'b')).toBe(false)
  })
})

describe('gc: a run', () => {
  test('deletes nothing before the startup grace is over', async () => {
    await using own = await openCollectedRegistry()
    const blob = randomBlob(10)
    await own.pushBlob(blob)
    own.wait(DAY - 1)
    expect(own.collector.state().waitingUntil).toBe(own.now() + 1)
    expect(await own.collector.run()).toMatchObject({ blobs: 0, stopped: 'waiting' })
    own.wait(2)
    expect(await own.collector.run()).toMatchObject({ blobs: 1 })
    expect(own.collector.state()).toMatchObject({ waitingUntil: undefined, lastRun: { blobs: 1, bytes: 10 } })
  })

  test('works in batches, reports progress, and can be cancelled', async () => {
    for (let n = 0; n < 250; n++) await cay.pushBlob(randomBlob(10))
    cay.wait(DAY + 1)
    const cancelled = new AbortController()
    const first = await cay.collector.run(cancelled.signal, () => cancelled.abort())
    expect(first).toMatchObject({ stopped: 'cancelled' })
    const progress: number[] = []
    const rest = await cay.collector.run(undefined, ({ blobs }) => progress.push(blobs))
    expect(first.blobs + rest.blobs).toBe(250)
    expect(progress).toEqual(progress.toSorted((a, b) => a - b))
    expect(progress.at(-1)).toBe(250 - first.blobs)
  })

  test('deletes tag moves from before the window', async () => {
    await pushImage(['old'])
    cay.wait(5 * DAY)
    await pushImage(['new'])
    await collectAfter(5 * DAY + 1)
    expect(cay.db.query('select name from tag_history').all()).toEqual([{ name: 'new' }])
  })
})
