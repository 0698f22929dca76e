import { expect, test } from 'bun:test'
import { spaceOf } from '../../src/storage/disk.ts'

test('disk: a file system that states no size has space, and a full one has none', () => {
  const bsize = 4096
  expect(spaceOf({ blocks: 0, bavail: 0, bsize }).freeBytes).toBeGreaterThan(1e15)
  expect(spaceOf({ blocks: 10, bavail: 0, bsize })).toEqual({ totalBytes: 40_960, freeBytes: 0 })
})
