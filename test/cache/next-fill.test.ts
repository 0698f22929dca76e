import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import type { FillOrder } from '../../src/cache/fills.ts'
import { Fills } from '../../src/cache/fills.ts'
import { Places } from '../../src/cache/pace.ts'
import type { Upstream } from '../../src/cache/upstream/upstream.ts'
import { parseDigest, type RepositoryName } from '../../src/oci/reference.ts'
import { DigestLocks } from '../../src/storage/digest-locks.ts'
import { FilesystemBlobs } from '../../src/storage/filesystem.ts'
import { FilesystemUploads, filesystemFills } from '../../src/storage/uploads.ts'
import { randomBlob } from '../support/content.ts'

const SIZE = 300_000

test('cache: a blob that is evicted right after its download can be downloaded again at once', async () => {
  await using folder = await temporaryFolder('fills')
  const fail = (error: Error) => {
    throw error
  }
  const limits = { poolBytes: 4 * 1024 * 1024, blobBytesMax: SIZE, digesters: 2, stallSecondsMax: 60 }
  const uploads = new FilesystemUploads(folder.path, { ...limits, onFailure: fail })
  const blobs = new FilesystemBlobs(folder.path)
  const { bytes, digest: text } = randomBlob(SIZE)
  const digest = parseDigest(text)
  const upstream = {
    name: 'up.example',
    places: new Places(1),
    isUpFor: () => true,
    getBlob: async (_: unknown, __: unknown, from: number) => ({
      stream: new Blob([bytes.subarray(from)]).stream(),
      from,
      total: SIZE,
      take: () => undefined,
    }),
  } as unknown as Upstream
  const order: FillOrder = {
    digest,
    size: SIZE,
    upstream,
    repository: 'up.example/app' as RepositoryName,
  }
  const store = filesystemFills(folder.path, uploads)
  let again: Promise<void> | undefined
  const fills = new Fills({
    store: {
      ...store,
      cancel(upload) {
        // A client asks for it as soon as it is no longer found.
        if (fills.find(digest) === undefined) again ??= fills.begin(order).ended
        return store.cancel(upload)
      },
    },
    locks: new DigestLocks(),
    fillsMax: 2,
    deadlineMs: 10_000,
    stallSecondsMax: 10,
    totalSecondsMax: 100,
    monotonic: () => 0,
    link: async () => {},
    onDiskFull: async () => {},
    onEnd: (fill) => {
      if (fill.id === '1') again ??= fills.begin(order).ended
    },
    onReceived: () => {},
    onResumed: () => {},
  })
  await fills.begin(order).ended
  await again
  expect(await blobs.stat(digest)).toEqual(expect.objectContaining({ size: SIZE }))
  await fills.stop()
  await uploads.stop()
})
