import { expect, test } from 'bun:test'
import type { Fill } from '../../src/cache/fills.ts'
import { Partials, Room } from '../../src/cache/room.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import type { Upload } from '../../src/storage/blob-store.ts'
import { DigestLocks } from '../../src/storage/digest-locks.ts'
import { randomBlob } from '../support/content.ts'
import { openMemoryLog } from '../support/memory-log.ts'

const NOW = Date.UTC(2026, 0, 1)
const MINUTE = 60_000
const uploadOf = (id: string): Upload => ({ id, scope: '', algorithm: 'sha256' })

/** A cached image of one blob. */
interface Cached {
  size: number
  /** Pinned ones are used at all times. */
  usedAt: number
}

interface DiskOptions {
  cached?: Cached[]
  /** Interrupted downloads, by their ids. */
  partials?: Record<string, { size: number; minutes: number }>
  freeBytes: number
}

/**
 * A volume of 10,000 bytes of which the cache leaves 1,000 free. For what happens between two checks, it leaves 500
 * more. What is evicted or deleted becomes free.
 */
function openDisk({ cached = [], partials: left = {}, freeBytes }: DiskOptions) {
  const { log } = openMemoryLog()
  const running: Fill[] = []
  const sizes = new Map(Object.entries(left).map(([id, { size }]) => [id, size]))
  const disk = { cached, freeBytes, evicted: 0 }
  const partials = new Partials({
    store: {
      async *list() {
        for (const [id, { size, minutes }] of Object.entries(left))
          yield { upload: uploadOf(id), size, changedAt: Date.now() - minutes * MINUTE }
      },
      async cancel({ id }) {
        disk.freeBytes += sizes.get(id) ?? 0
        sizes.delete(id)
      },
    },
    isRunning: (id) => running.some(({ upload }) => upload.id === id),
    now: () => NOW,
    log,
  })
  const metadata = {
    cache: { totals: () => ({ bytes: disk.cached.reduce((sum, { size }) => sum + size, 0) }) },
    blobs: { isStored: () => false },
    async write(_: string, { before, bytes }: { before: number; bytes: number }) {
      let freed = 0
      for (const one of disk.cached.toSorted((a, b) => a.usedAt - b.usedAt)) {
        if (freed >= bytes || one.usedAt >= before) break
        disk.cached = disk.cached.filter((other) => other !== one)
        freed += one.size
      }
      disk.freeBytes += freed
      return { blobs: [], bytes: freed, more: false }
    },
  }
  const room = new Room({
    metadata: metadata as never,
    blobs: { delete: async () => {} },
    partials,
    locks: new DigestLocks(),
    lastUse: { flush: async () => {} } as never,
    log,
    now: () => NOW,
    bytesMax: 0,
    freeBytesMin: 1000,
    diskNow: () => ({ totalBytes: 10_000, freeBytes: disk.freeBytes }),
    fills: () => running,
    onEvicted: (bytes) => {
      disk.evicted += bytes
    },
  })
  /** Reports whether a fill of this size was begun. It is still running, and has received nothing. */
  const begin = async (bytes: number, upload = uploadOf(`fill-${running.length}`)) => {
    const fill = { order: { size: bytes, digest: parseDigest(randomBlob(1).digest) }, upload, received: 0 }
    const begun = await room.admit(
      () => undefined,
      { bytes, upload },
      () => {
        running.push(fill as unknown as Fill)
        return fill as unknown as Fill
      },
    )
    return begun !== undefined
  }
  return { disk, room, begin, partialIds: () => [...sizes.keys()] }
}

test('reserve: a fill begins if the reserve stays free, and otherwise content is evicted for it first', async () => {
  const { disk, begin } = openDisk({ cached: [{ size: 600, usedAt: 1 }], freeBytes: 2000 })
  expect(await begin(500)).toBe(true)
  expect(disk).toMatchObject({ evicted: 0, freeBytes: 2000 })
  expect(await begin(500)).toBe(true)
  expect(disk).toMatchObject({ evicted: 600, freeBytes: 2600 })
})

test('reserve: fills that could use it up together are not all begun', async () => {
  const { disk, begin } = openDisk({ freeBytes: 2000 })
  expect(await Promise.all([begin(200), begin(200), begin(200)])).toEqual([true, true, false])
  expect(disk.evicted).toBe(0)
})

test('reserve: content is not evicted for a fill that would not fit without it, either', async () => {
  const { disk, begin } = openDisk({ cached: [{ size: 600, usedAt: 1 }], freeBytes: 2000 })
  expect(await begin(1200)).toBe(false)
  expect(disk.evicted).toBe(0)
})

test('reserve: old interrupted downloads are deleted before an image is evicted, and young ones after it', async () => {
  const partials = { old: { size: 300, minutes: 11 }, young: { size: 300, minutes: 9 } }
  const { disk, begin, partialIds } = openDisk({
    cached: [{ size: 300, usedAt: 1 }],
    partials,
    freeBytes: 1600,
  })
  expect(await begin(400)).toBe(true)
  expect([disk.evicted, partialIds()]).toEqual([0, ['young']])
  expect(await begin(300)).toBe(true)
  expect([disk.evicted, partialIds()]).toEqual([300, ['young']])
  expect(await begin(300)).toBe(true)
  expect(partialIds()).toEqual([])
})

test('reserve: an interrupted download that is resumed needs only the rest, and is not deleted for itself', async () => {
  const partials = { own: { size: 800, minutes: 60 } }
  const { begin, partialIds } = openDisk({ partials, freeBytes: 1600 })
  expect(await begin(1000, uploadOf('own'))).toBe(false)
  expect(await begin(900, uploadOf('own'))).toBe(true)
  expect(partialIds()).toEqual(['own'])
})

test('reserve: a push waits while content is evicted for it, also what was just used, and until only pinned content is left', async () => {
  const cached = [
    { size: 300, usedAt: 1 },
    { size: 300, usedAt: NOW },
    { size: 300, usedAt: Number.POSITIVE_INFINITY },
  ]
  const { disk, room } = openDisk({ cached, freeBytes: 2000 })
  const push = () => room.pacePush(2 * 1024 * 1024)
  expect(push()).toBeUndefined()
  disk.freeBytes = 1400
  await push()
  expect(disk.evicted).toBe(300)
  disk.freeBytes = 0
  await push()
  expect(disk.cached).toEqual([{ size: 300, usedAt: Number.POSITIVE_INFINITY }])
  await push()
  expect(push()).toBeUndefined()
})
