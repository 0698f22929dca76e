import { expect, test } from 'bun:test'
import { storageParts } from '../../src/page/server/storage-parts.ts'

const stored = { repository: 'team/app', blobCount: 1, sharedBytes: 0, cachedBytes: 0 }

test('storage: bytes are own, shared, cached or deleted', () => {
  expect(storageParts({ ...stored, bytes: 100, uniqueBytes: 60, deletedBytes: 20 })).toEqual({
    own: 40,
    shared: 40,
    cached: 0,
    deleted: 20,
  })
  expect(storageParts({ ...stored, bytes: 50, uniqueBytes: 50, cachedBytes: 50 })).toEqual({
    own: 0,
    shared: 0,
    cached: 50,
    deleted: 0,
  })
})

test('storage: no part is negative or larger than the repository', () => {
  expect(storageParts({ ...stored, bytes: 100, uniqueBytes: 90, deletedBytes: 100 })).toEqual({
    own: 0,
    shared: 0,
    cached: 0,
    deleted: 100,
  })
})
