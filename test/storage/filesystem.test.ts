import { temporaryFolder } from '../../scripts/temporary-folder.ts'
import { FilesystemBlobs } from '../../src/storage/filesystem.ts'
import { FilesystemUploads } from '../../src/storage/filesystem-uploads.ts'
import { blobStoreSuite, type OpenedStore, type StoreLimits } from './blob-store-suite.ts'
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
