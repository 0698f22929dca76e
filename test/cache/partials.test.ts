import { expect, test } from 'bun:test'
import { Partials } from '../../src/cache/room.ts'
import type { PartialBlob, Upload } from '../../src/storage/blob-store.ts'
import { openMemoryLog } from '../support/memory-log.ts'

const NOW = Date.UTC(2026, 0, 1)
const uploadOf = (id: string): Upload => ({ id, scope: '', algorithm: 'sha256' })

/** Partial blobs of 10 bytes, the first of which is the oldest, on a disk that is listed when `listing` resolves. */
function open(ids: string[], listing: Promise<void> = Promise.resolve()) {
  const running = new Set<string>()
  const deleted: string[] = []
  let now = NOW
  const partials = new Partials({
    store: {
      async *list(): AsyncIterable<PartialBlob> {
        await listing
        for (const [n, id] of ids.entries())
          yield { upload: uploadOf(id), size: 10, changedAt: Date.now() - (ids.length - n) * 60_000 }
      },
      cancel: async ({ id }) => void deleted.push(id),
    },
    isRunning: (id) => running.has(id),
    now: () => now,
    log: openMemoryLog().log,
  })
  const pass = (milliseconds: number) => {
    now += milliseconds
  }
  return { partials, running, deleted, pass }
}

test('partials: the oldest are deleted first, and no more than are needed', async () => {
  const { partials, deleted } = open(['a', 'b', 'c'])
  await partials.load()
  expect(partials.bytes([])).toBe(30)
  expect(await partials.drop({ before: NOW, bytes: 11 })).toBe(20)
  expect(deleted).toEqual(['a', 'b'])
  expect(partials.bytes([])).toBe(10)
})

test('partials: those that grew since a time stay, by the clock of the server', async () => {
  const { partials, deleted, pass } = open(['a', 'b'])
  await partials.load()
  expect(await partials.drop({ before: NOW - 90_000 })).toBe(10)
  pass(60_000)
  partials.note(uploadOf('c'), 5)
  await partials.load()
  expect(await partials.drop({ before: NOW + 60_000 })).toBe(10)
  expect(deleted).toEqual(['a', 'b'])
  expect(await partials.drop({ before: NOW + 60_001 })).toBe(5)
})

test('partials: one that a fill uses, or that is about to be resumed, stays and does not count', async () => {
  const { partials, running, deleted } = open(['a', 'b', 'c'])
  await partials.load()
  running.add('a')
  expect(partials.bytes([{ upload: uploadOf('a') }])).toBe(20)
  expect(await partials.drop({ before: NOW, keep: uploadOf('b') })).toBe(10)
  expect(deleted).toEqual(['c'])
})

test('partials: what fills leave while the disk is listed replaces what was listed', async () => {
  const listing = Promise.withResolvers<void>()
  const { partials } = open(['a', 'b'], listing.promise)
  const loaded = partials.load()
  partials.note(uploadOf('a'), 25)
  partials.note(uploadOf('b'), 0)
  listing.resolve()
  await loaded
  await partials.load()
  expect(partials.bytes([])).toBe(25)
})
