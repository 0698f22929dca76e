import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest } from '../../src/oci/digest.ts'
import { filesystemFills } from '../../src/storage/uploads/filesystem-fills.ts'
import { FilesystemUploads } from '../../src/storage/uploads/filesystem-uploads.ts'
import { randomBlob } from '../support/content.ts'

const SIZE = 300_000

async function open() {
  const folder = await temporaryFolder('fills')
  const uploads = new FilesystemUploads(folder.path, {
    poolBytes: 4 * 1024 * 1024,
    blobBytesMax: 10 * SIZE,
    digesters: 2,
    stallSecondsMax: 60,
    onFailure: (error) => {
      throw error
    },
  })
  return {
    fills: filesystemFills(folder.path, uploads),
    async [Symbol.asyncDispose]() {
      await uploads.stop()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const bodyOf = (bytes: Uint8Array) => ({ stream: new Blob([bytes]).stream(), offset: 0 })

test('fills: a new fill waits for the deletion of its partial file, and keeps no byte of it', async () => {
  await using opened = await open()
  const { fills } = opened
  const { bytes, digest: text } = randomBlob(SIZE)
  const digest = parseDigest(text)
  const upload = fills.of(digest, 'up.example')
  const deletions = [
    () => fills.cancel(upload),
    (begin: () => void) =>
      fills.expire(Number.POSITIVE_INFINITY, () => {
        queueMicrotask(begin)
        return false
      }),
  ]
  for (const remove of deletions) {
    await fills.append(upload, bodyOf(randomBlob(SIZE / 2).bytes))
    const found = Promise.withResolvers<number>()
    const begin = () => found.resolve(fills.getSize(upload))
    const removed = remove(begin)
    if (remove.length === 0) begin()
    expect(await found.promise).toBe(0)
    await fills.append(upload, bodyOf(bytes))
    await removed
    expect(await fills.getSize(upload)).toBe(SIZE)
    expect(await fills.verify(upload, digest)).toBe(true)
    await fills.cancel(upload)
  }
})

test('fills: a partial file that a fill uses is not deleted, however old it is', async () => {
  await using opened = await open()
  const { fills } = opened
  const { bytes, digest: text } = randomBlob(SIZE)
  const digest = parseDigest(text)
  const upload = fills.of(digest, 'up.example')
  await fills.append(upload, bodyOf(bytes))
  expect(await fills.expire(Number.POSITIVE_INFINITY, (id) => id === upload.id)).toBe(0)
  expect(await fills.verify(upload, digest)).toBe(true)
  expect(await fills.expire(Number.POSITIVE_INFINITY, () => false)).toBe(SIZE)
  expect(await fills.getSize(upload)).toBe(0)
})
