import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/temporary-folder.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import { FilesystemBlobs } from '../../src/storage/filesystem.ts'
import { FilesystemUploads } from '../../src/storage/filesystem-uploads.ts'
import { bodyOf } from '../support/body.ts'
import { digestOf } from '../support/content.ts'
import { blobStoreSuite, type OpenedStore, SCOPE, type StoreLimits } from './blob-store-suite.ts'
import { uploadPoolSuite } from './upload-pool-suite.ts'

const LIMITS: StoreLimits = { poolBytes: 4 * 1024 * 1024, blobBytesMax: 1024 * 1024 * 1024 }

async function open(limits: Partial<StoreLimits> = {}): Promise<OpenedStore> {
  const folder = await temporaryFolder('storage')
  return openIn(folder.path, { ...LIMITS, ...limits }, () => folder[Symbol.asyncDispose]())
}

function openIn(data: string, limits: StoreLimits, remove: () => PromiseLike<void>): OpenedStore {
  const blobs = new FilesystemBlobs(data)
  let after = remove
  const uploads = new FilesystemUploads(data, blobs, {
    ...limits,
    digesters: 2,
    stallSecondsMax: 60,
    onFailure: (error) => {
      throw error
    },
  })
  return {
    blobs,
    uploads,
    async reopen() {
      uploads.stop()
      const again = openIn(data, limits, remove)
      after = () => again.close()
      return again
    },
    async close() {
      uploads.stop()
      await after()
    },
  }
}

blobStoreSuite('on a local disk', open)
uploadPoolSuite('on a local disk', open)

test.each([
  ['a small one, which is read again soon, in memory', 64 * 1024, true],
  ['a larger one in its file only', 64 * 1024 + 1, false],
])('a blob that was just pushed is there: %s', async (_, size, isInMemory) => {
  const store = await open()
  try {
    const bytes = new Uint8Array(size).fill(7)
    const digest = parseDigest(digestOf(bytes))
    await store.uploads.commit(store.uploads.start(SCOPE, 'sha256'), digest, bodyOf(bytes))
    const body = await store.blobs.open(digest, { start: 1, end: 3 })
    expect('bytes' in body).toBe(isInMemory)
    if ('bytes' in body) expect([...body.bytes]).toEqual([7, 7])
  } finally {
    await store.close()
  }
})
