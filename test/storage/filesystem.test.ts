import { expect, test } from 'bun:test'
import { existsSync, readdirSync, readlinkSync } from 'node:fs'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import type { Upload } from '../../src/storage/blob-store.ts'
import { FilesystemBlobs } from '../../src/storage/filesystem.ts'
import { uuidOf } from '../../src/storage/upload-files.ts'
import { FilesystemUploads } from '../../src/storage/uploads.ts'
import { bodyOf, NO_BODY } from '../support/body.ts'
import { named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { until } from '../support/until.ts'
import { blobStoreSuite, type OpenedStore, SCOPE, type StoreLimits } from './blob-store-suite.ts'
import { smallBlobSuite } from './small-blob-suite.ts'
import { uploadPoolSuite } from './upload-pool-suite.ts'

const LIMITS: StoreLimits = { poolBytes: 4 * 1024 * 1024, blobBytesMax: 1024 * 1024 * 1024 }

interface OpenedFolder extends OpenedStore {
  uploads: FilesystemUploads
  data: string
}

async function open(limits: Partial<StoreLimits> = {}): Promise<OpenedFolder> {
  const folder = await temporaryFolder('storage')
  return openIn(folder.path, { ...LIMITS, ...limits }, () => folder[Symbol.asyncDispose]())
}

function openIn(data: string, limits: StoreLimits, remove: () => PromiseLike<void>): OpenedFolder {
  const blobs = new FilesystemBlobs(data)
  let after = remove
  const uploads = new FilesystemUploads(data, {
    ...limits,
    digesters: 2,
    stallSecondsMax: 60,
    onFailure: (error) => {
      throw error
    },
  })
  return {
    data,
    blobs,
    uploads,
    async reopen() {
      await uploads.stop()
      const again = openIn(data, limits, remove)
      after = () => again.close()
      return again
    },
    async close() {
      await uploads.stop()
      await after()
    },
  }
}

blobStoreSuite('on a local disk', open)
smallBlobSuite('on a local disk', open)
uploadPoolSuite('on a local disk', open)

test.skipIf(process.platform !== 'linux')(
  'uploads: an idle server closes most files, and all uploads continue',
  async () => {
    const store = await open()
    try {
      const openFiles = () => filesOfProcess().filter((path) => path.startsWith(store.data)).length
      const blobs = Array.from({ length: 40 }, () => randomBlob(200_000))
      const uploads = await Promise.all(
        blobs.map(async ({ bytes }) => {
          const upload = store.uploads.start(SCOPE, 'sha256')
          await store.uploads.append(upload, bodyOf(bytes.subarray(0, 100_000)))
          return upload
        }),
      )
      expect(openFiles()).toBe(40)
      store.uploads.releaseMemory()
      await until(() => openFiles() === 16)
      const sizes = await Promise.all(uploads.map((upload) => store.uploads.getSize(upload)))
      expect(sizes).toEqual(uploads.map(() => 100_000))
      for (const [at, { bytes, digest }] of blobs.entries()) {
        const body = bodyOf(bytes.subarray(100_000))
        expect(await store.uploads.commit(uploads[at]!, parseDigest(digest), body)).toMatchObject({
          size: 200_000,
        })
      }
    } finally {
      await store.close()
    }
  },
)

test('uploads: one small body needs no file, and an upload with several chunks has one', async () => {
  const store = await open()
  try {
    const { bytes, digest } = randomBlob(64 * 1024)
    const files = () => readdirSync(join(store.data, 'uploads')).filter((name) => name !== 'key')
    const whole = store.uploads.start(SCOPE, 'sha256')
    await store.uploads.commit(whole, parseDigest(digest), bodyOf(bytes))
    expect(files()).toEqual([])
    const appended = store.uploads.start(SCOPE, 'sha256')
    await store.uploads.append(appended, bodyOf(bytes))
    await store.uploads.commit(appended, parseDigest(digest), NO_BODY)
    expect(files().length).toBe(1)
    await store.uploads.cancel(appended)
    expect(files()).toEqual([])
  } finally {
    await store.close()
  }
})

test.skipIf(!existsSync('/dev/shm'))(
  'storage: a blobs folder on another file system is refused at the start',
  async () => {
    await using folder = await temporaryFolder('storage')
    await using elsewhere = new AsyncDisposableStack()
    const blobs = elsewhere.adopt(await mkdtemp('/dev/shm/cay-blobs-'), (path) =>
      rm(path, { recursive: true }),
    )
    await symlink(blobs, join(folder.path, 'blobs'))
    const { uploads } = openIn(folder.path, LIMITS, async () => {})
    try {
      const { message } = await failureOf(uploads.tidy())
      expect(message).toContain(
        `${join(folder.path, 'uploads')} and ${join(folder.path, 'blobs')} are on different`,
      )
      expect(message).toContain(`mount the whole folder ${folder.path} instead`)
      expect([...readdirSync(join(folder.path, 'uploads'))]).toEqual(['key'])
    } finally {
      await uploads.stop()
    }
  },
)

test('uploads: each end is reported: a cancellation, an abort or the expiry', async () => {
  await using folder = await temporaryFolder('storage')
  const ended: string[] = []
  const uploads = new FilesystemUploads(folder.path, {
    ...LIMITS,
    digesters: 1,
    stallSecondsMax: 60,
    onFailure: (error) => {
      throw error
    },
    onEnded: (name) => ended.push(name),
  })
  const names: string[] = []
  const ends: ((upload: Upload) => Promise<unknown>)[] = [
    (upload) => uploads.cancel(upload),
    ({ id }) => uploads.drop(uuidOf(id)),
    () => uploads.expire(Number.MAX_SAFE_INTEGER),
  ]
  for (const end of ends) {
    const upload = uploads.start('scope', 'sha256')
    await uploads.append(upload, bodyOf(named('bytes').bytes))
    await end(upload)
    names.push(uuidOf(upload.id))
  }
  expect([...new Set(ended)]).toEqual(names)
  await uploads.stop()
})

/** Returns the paths of the files that this process has open. */
function filesOfProcess(): string[] {
  return readdirSync('/proc/self/fd').flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)]
    } catch {
      // Closed since it was listed.
      return []
    }
  })
}
