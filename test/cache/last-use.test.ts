import { expect, test } from 'bun:test'
import { LastUse } from '../../src/cache/flights.ts'
import type { Use } from '../../src/cache/store.ts'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import { randomBlob } from '../support/content.ts'

test('last use: what cannot be written is written the next time, with the newest time of each use', async () => {
  const repository = parseRepositoryName('up.example/app')
  const [first, second] = [1, 2].map((bytes) => parseDigest(randomBlob(bytes).digest)) as [never, never]
  const written: Use[] = []
  let [now, isFull] = [1, true]
  const lastUse = new LastUse(
    async (uses) => {
      if (isFull) throw new Error('the disk is full')
      written.push(...uses)
    },
    () => now,
  )
  lastUse.note(repository, first, true)
  lastUse.note(repository, second, false)
  const flushed = lastUse.flush()
  now = 2
  lastUse.note(repository, first, true)
  await expect(flushed).rejects.toThrow('the disk is full')
  isFull = false
  await lastUse.flush()
  expect(written).toEqual([
    { repository, digest: first, isBlob: true, at: 2 },
    { repository, digest: second, isBlob: false, at: 1 },
  ])
})
