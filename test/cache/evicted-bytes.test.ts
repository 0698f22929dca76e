import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { Room } from '../../src/cache/room.ts'
import { type Digest, parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import { DigestLocks } from '../../src/storage/digest-locks.ts'
import { randomBlob } from '../support/content.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { AT, link, open } from '../support/writes.ts'

/** A cached blob whose bytes are in a set, and an eviction whose deletions wait for the test. */
async function openCached() {
  const resources = new AsyncDisposableStack()
  const folder = resources.use(await temporaryFolder('evicted'))
  const metadata = await open(folder.path)
  resources.defer(() => metadata.close())
  const blob = randomBlob(100_000)
  const digest = parseDigest(blob.digest)
  const repositories = [parseRepositoryName('up.example/app')]
  await metadata.write('linkCached', { at: AT, repositories, digest, size: blob.bytes.length })
  const files = new Set<Digest>([digest])
  const deletion = Promise.withResolvers<void>()
  const deleting = Promise.withResolvers<void>()
  const locks = new DigestLocks()
  const room = new Room({
    metadata,
    blobs: {
      async delete(one) {
        deleting.resolve()
        await deletion.promise
        files.delete(one)
      },
    },
    partials: { load: async () => {}, bytes: () => 0, drop: async () => 0 } as never,
    locks,
    lastUse: { flush: async () => {} } as never,
    log: openMemoryLog().log,
    now: () => AT + 60_000,
    bytesMax: 0,
    freeBytesMin: 0,
    diskNow: () => ({ totalBytes: 1e12, freeBytes: 1e12 }),
    fills: () => [],
    onEvicted: () => {},
  })
  /** Publishes the bytes and links them, as a push does. */
  const push = (published: Promise<void> = Promise.resolve()) =>
    locks.push(digest, async () => {
      files.add(digest)
      await published
      await metadata.write(...link('mine', blob))
    })
  return {
    room,
    push,
    metadata,
    digest,
    files,
    deletion,
    deleting,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

test('eviction: bytes that a push has published, and not linked yet, stay', async () => {
  await using cached = await openCached()
  const { room, push, metadata, digest, files, deletion } = cached
  deletion.resolve()
  const published = Promise.withResolvers<void>()
  const pushed = push(published.promise)
  expect(await room.evict(1)).toBe(100_000)
  expect(metadata.blobs.isStored(digest)).toBe(false)
  published.resolve()
  await pushed
  expect([metadata.blobs.isStored(digest), files.has(digest)]).toEqual([true, true])
})

test('eviction: a push waits until bytes that are being deleted are gone, and publishes them again', async () => {
  await using cached = await openCached()
  const { room, push, metadata, digest, files, deletion, deleting } = cached
  const evicted = room.evict(1)
  await deleting.promise
  const pushed = push()
  deletion.resolve()
  await Promise.all([evicted, pushed])
  expect([metadata.blobs.isStored(digest), files.has(digest)]).toEqual([true, true])
})

test('eviction: bytes that were linked again after their rows were removed stay', async () => {
  await using cached = await openCached()
  const { room, push, metadata, digest, files, deletion } = cached
  deletion.resolve()
  const { blobs } = await metadata.write('evict', { at: AT + 2, before: AT + 1, bytes: 1, limit: 10 })
  await push()
  await room.removeBytes(blobs)
  expect([blobs.length, files.has(digest)]).toEqual([1, true])
})
