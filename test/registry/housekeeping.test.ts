import { expect, test } from 'bun:test'
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/temporary-folder.ts'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { expireUploads, removeOrphans } from '../../src/registry/housekeeping.ts'
import { FilesystemBlobs } from '../../src/storage/filesystem.ts'
import { FilesystemUploads } from '../../src/storage/filesystem-uploads.ts'
import { bodyOf } from '../support/body.ts'
import { digestOf, named } from '../support/content.ts'
import { startUpload } from '../support/push.ts'
import { startInProcess } from '../support/server.ts'
import { open } from '../support/writes.ts'

const HOUR = 3600

test('uploads that did not grow for so long are dropped, the others stay', async () => {
  await using folder = await temporaryFolder('housekeeping')
  const metadata = await open(folder.path)
  const uploads = new FilesystemUploads(folder.path, new FilesystemBlobs(folder.path), {
    poolBytes: 1024 * 1024,
    digesters: 1,
    blobBytesMax: 1000,
    stallSecondsMax: 60,
    onFailure: () => {},
  })
  const now = Date.now()
  const start = async (hoursAgo: number, bytes?: string) => {
    const upload = uploads.start('sha256')
    const row = {
      ...upload,
      repository: parseRepositoryName('a'),
      startedAt: now - hoursAgo * HOUR * 1000,
      account: null,
    }
    await metadata.write('startUpload', row)
    if (bytes !== undefined) await uploads.append(upload, bodyOf(named(bytes).bytes))
    return upload.id
  }
  const never = await Promise.all(Array.from({ length: 150 }, () => start(3)))
  const grown = await start(3, 'bytes')
  const young = await start(1)
  expect(await expireUploads(metadata, uploads, now, 2 * HOUR)).toBe(150)
  for (const id of never) expect(metadata.uploads.find(id)).toBeUndefined()
  expect([grown, young].map((id) => metadata.uploads.find(id)?.id)).toEqual([grown, young])
  expect(await expireUploads(metadata, uploads, now + 3 * HOUR * 1000, 2 * HOUR)).toBe(2)
  expect(await uploads.list()).toEqual([])
  expect(await removeOrphans(metadata, uploads)).toBe(0)
  uploads.stop()
  await metadata.close()
})

test('what a crash has left goes at the next start, and what is in progress stays', async () => {
  await using folder = await temporaryFolder('crash')
  const first = await startInProcess({ data: folder.path })
  const location = await startUpload(first, 'a')
  await first.fetch(location, { method: 'PATCH', body: 'kept' })
  await first.stop()
  const id = location.split('/').at(-1) ?? ''
  const uploads = join(folder.path, 'uploads')
  await mkdir(uploads, { recursive: true })
  for (const name of [crypto.randomUUID(), `${crypto.randomUUID()}.published`, `${id}.copy`]) {
    await Bun.write(join(uploads, name), 'left')
  }
  await using again = await startInProcess({ data: folder.path })
  expect([...new Bun.Glob('*').scanSync(uploads)]).toEqual([id])
  expect(again.log()).toContainEqual(expect.objectContaining({ removed: 3 }))
  const closed = await again.fetch(`${location}?digest=${digestOf(named('kept').bytes)}`, { method: 'PUT' })
  expect(closed.status).toBe(201)
})
