import { expect, test } from 'bun:test'
import { Room } from '../../src/cache/room.ts'
import { imageManifest, randomBlob } from '../support/content.ts'
import { startSmall } from '../support/small-cache.ts'

const none = () => undefined

/** A room of 1,000 bytes for content that cannot be evicted. */
function openRoom({ cached, onLink = 0 }: { cached: number; onLink?: number }) {
  let bytes = cached
  const metadata = {
    cache: { totals: () => ({ bytes }) },
    blobs: {
      isStored() {
        bytes += onLink
        return true
      },
    },
    write: async () => ({ blobs: [], more: false }),
  }
  return new Room({
    metadata: metadata as never,
    blobs: { delete: async () => {} },
    partials: { load: async () => {}, bytes: () => 0, drop: async () => 0 } as never,
    locks: {} as never,
    lastUse: { flush: async () => {} } as never,
    log: {} as never,
    now: Date.now,
    bytesMax: 1000,
    freeBytesMin: 0,
    diskNow: () => ({ totalBytes: 1e9, freeBytes: 1e9 }),
    fills: () => (onLink === 0 ? [] : [{ order: { size: onLink }, received: onLink } as never]),
    onEvicted: () => {},
  })
}

/** Whether a fill of this size is admitted. */
async function admits(room: Room, bytes: number): Promise<boolean> {
  let isAdmitted = false
  const begin = () => {
    isAdmitted = true
    return undefined
  }
  await room.admit(none, { bytes }, begin)
  return isAdmitted
}

test('cache limit: a blob that is linked while the room is measured counts', async () => {
  expect(await admits(openRoom({ cached: 0, onLink: 400 }), 700)).toBe(false)
  expect(await admits(openRoom({ cached: 0, onLink: 400 }), 500)).toBe(true)
})

test('cache limit: a manifest counts while it is being stored', async () => {
  const room = openRoom({ cached: 300 })
  const written = Promise.withResolvers<string>()
  const begun = Promise.withResolvers<void>()
  const stored = room.store(400, () => {
    begun.resolve()
    return written.promise
  })
  await begun.promise
  expect(await admits(room, 400)).toBe(false)
  expect(await room.store(400, async () => 'stored')).toBeUndefined()
  expect(await room.store(300, async () => 'stored')).toBe('stored')
  written.resolve('stored')
  expect(await stored).toBe('stored')
})

test('cache limit: manifests stay below it, and are passed through when nothing can be evicted', async () => {
  await using world = await startSmall()
  const { cache } = world
  const large = (tag: string) => {
    const manifest = imageManifest(randomBlob(10), [], { annotations: { filler: '-'.repeat(300_000) } })
    cache.fake.putManifest('library/app', tag, manifest)
  }
  const cached = async () =>
    ((await (await cache.server.fetch('/api/v1/cache')).json()) as { bytes: number }).bytes
  const tags = ['1', '2', '3', '4']
  tags.forEach(large)
  // The clock stands still, so that none of them may be evicted.
  for (const tag of tags) expect((await cache.get(`manifests/${tag}`)).status).toBe(200)
  expect(await cached()).toBeLessThanOrEqual(1_000_000)
  expect(await cached()).toBeGreaterThan(900_000)
  world.pass(60_000)
  expect((await cache.get('manifests/4')).status).toBe(200)
  expect((await cache.get('manifests/4')).status).toBe(200)
  expect(cache.fake.requests(/^GET .*manifests/).length).toBe(5)
  expect(await cached()).toBeLessThanOrEqual(1_000_000)
})

test('cache limit: blobs leave a share of it free for manifests', async () => {
  const room = openRoom({ cached: 0 })
  expect(await admits(room, 1000)).toBe(false)
  expect(await admits(room, 980)).toBe(true)
  expect(await room.store(1000, async () => 'stored')).toBe('stored')
})
