import { expect, test } from 'bun:test'
import { storageParts } from '../../src/page/storage-parts.ts'

const stored = (repository: string, bytes: number, uniqueBytes: number, deletedAt?: string) => ({
  repository,
  bytes,
  uniqueBytes,
  sharedBytes: bytes - uniqueBytes,
  blobCount: 1,
  ...(deletedAt !== undefined && { deletedAt }),
})

const candidate = (repository: string, bytes: number) => ({
  kind: 'manifest' as const,
  repository,
  bytes,
  reason: 'deleted' as const,
  since: '2026-01-01T00:00:00.000Z',
  collectableAt: '2026-01-02T00:00:00.000Z',
})

test('storage: bytes are own, shared, cached or deleted', () => {
  const repositories = [
    stored('team/app', 100, 60),
    stored('docker.io/library/alpine', 50, 50),
    stored('team/gone', 30, 10, '2026-01-01T00:00:00.000Z'),
  ]
  const candidates = [candidate('team/app', 15), candidate('team/app', 5)]
  expect(storageParts(repositories, candidates, new Set(['docker.io']))).toEqual([
    { own: 40, shared: 40, cached: 0, deleted: 20 },
    { own: 0, shared: 0, cached: 50, deleted: 0 },
    { own: 0, shared: 0, cached: 0, deleted: 30 },
  ])
})

test('storage: no part is negative or larger than the repository', () => {
  const [parts] = storageParts([stored('a', 100, 90)], [candidate('a', 1000)], new Set())
  expect(parts).toEqual({ own: 0, shared: 0, cached: 0, deleted: 100 })
})
