import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { FilesystemUploads, filesystemFills } from '../../src/storage/uploads.ts'
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
    uploads,
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
  await fills.append(upload, bodyOf(randomBlob(SIZE / 2).bytes))
  const removed = fills.cancel(upload)
  expect(await fills.getSize(upload)).toBe(0)
  await fills.append(upload, bodyOf(bytes))
  await removed
  expect(await fills.getSize(upload)).toBe(SIZE)
  expect(await fills.verify(upload, digest)).toBe(true)
})

test('fills: the partial files are listed with their sizes, and without the uploads of clients', async () => {
  await using opened = await open()
  const { fills, uploads } = opened
  const { bytes, digest } = randomBlob(SIZE)
  const upload = fills.of(parseDigest(digest), 'up.example')
  await fills.append(upload, bodyOf(bytes))
  await uploads.append(uploads.start('mine', 'sha256'), bodyOf(bytes))
  const listed = await Array.fromAsync(fills.list())
  expect(listed).toMatchObject([{ upload, size: SIZE }])
})
