import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import { randomBlob } from '../support/content.ts'
import { AT, withMetadata } from '../support/writes.ts'

const DAY_MS = 86_400_000

test('cache: a repository whose last unreferenced blob is evicted or collected is removed', async () => {
  await using folder = await temporaryFolder('empty')
  await withMetadata(folder.path, async (metadata) => {
    const repository = parseRepositoryName('docker.io/library/a')
    const add = async () => {
      const blob = { digest: parseDigest(randomBlob(10).digest), size: 10 }
      await metadata.write('linkCached', { ...blob, repositories: [repository], at: AT })
      expect(metadata.repositories.find(repository)).toBeDefined()
    }
    await add()
    await metadata.write('evict', { at: AT + 1, before: AT + 1, bytes: 10, limit: 100 })
    expect(metadata.repositories.find(repository)).toBeUndefined()
    await add()
    const until = AT + 3 * DAY_MS
    const garbageWindow = { graceMs: DAY_MS, windowMs: DAY_MS, untaggedDays: 0 }
    await metadata.write('collectBlobs', { at: until, until, garbageWindow, limit: 100 })
    expect(metadata.repositories.find(repository)).toBeUndefined()
  })
})
