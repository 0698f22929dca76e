import { expect, test } from 'bun:test'
import { spaceOf } from '../../src/storage/durable-file.ts'

test('disk: a file system without a size counts as having space, and a full one does not', () => {
  const bsize = 4096
  expect(spaceOf({ blocks: 0, bavail: 0, bsize }).freeBytes).toBeGreaterThan(1e15)
  expect(spaceOf({ blocks: 10, bavail: 0, bsize })).toEqual({ totalBytes: 40_960, freeBytes: 0 })
})
