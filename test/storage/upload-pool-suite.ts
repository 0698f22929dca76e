import { expect } from 'bun:test'
import { parseDigest } from '../../src/oci/reference.ts'
import { bodyOf, NO_BODY, slowBody } from '../support/body.ts'
import { digestOf, named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { until } from '../support/until.ts'
import { type OpenStore, read, SCOPE, type StorePromise, store, testPromises } from './blob-store-suite.ts'

/** The promises of every store with more concurrent uploads than memory slots. */
export function uploadPoolSuite(name: string, open: OpenStore): void {
  testPromises(`${name}: many uploads`, open, PROMISES)
}

const smallPool = { poolBytes: 1024 * 1024 }

const PROMISES: StorePromise[] = [
  {
    name: 'all succeed, when more run at once than the pool has slots',
    limits: smallPool,
    run: async (opened) => {
      const blobs = Array.from({ length: 40 }, () => randomBlob(700_001))
      await Promise.all(blobs.map(({ bytes }) => store(opened, bytes)))
      for (const { digest } of blobs) expect(digestOf(await read(opened, digest))).toBe(digest)
    },
  },

  {
    name: 'of slow clients neither block the pool for others nor lose bytes',
    limits: smallPool,
    run: async (opened) => {
      const { uploads } = opened
      const slow = Array.from({ length: 20 }, () => ({
        ...slowBody(),
        upload: uploads.start(SCOPE, 'sha256'),
      }))
      const appended = slow.map(({ upload, body }) => uploads.append(upload, body))
      for (const { bring } of slow) bring(named('slow ').bytes)
      const quick = randomBlob(3_000_000)
      await store(opened, quick.bytes)
      expect(digestOf(await read(opened, quick.digest))).toBe(quick.digest)
      for (const { bring, end } of slow) {
        bring(named('but sure').bytes)
        end()
      }
      expect(await Promise.all(appended)).toEqual(Array(20).fill('slow but sure'.length))
      const digest = parseDigest(digestOf(named('slow but sure').bytes))
      for (const { upload } of slow) await uploads.commit(upload, digest, NO_BODY)
    },
  },

  {
    name: 'whose connections break keep the received bytes, and release their memory',
    limits: smallPool,
    run: async (opened) => {
      const { uploads } = opened
      const { bytes, digest } = randomBlob(500_000)
      for (let round = 0; round < 10; round++) {
        const upload = uploads.start(SCOPE, 'sha256')
        const { body, bring, fail } = slowBody()
        const appended = uploads.append(upload, body)
        bring(bytes.subarray(0, 300_000))
        await until(async () => (await uploads.getSize(upload)) > 0)
        bring(bytes.subarray(300_000, 400_000))
        queueMicrotask(() => fail(new Error('broken off')))
        expect((await failureOf(appended)).message).toContain('broken off')
        const size = await uploads.getSize(upload)
        expect(size).toBeGreaterThanOrEqual(262_144)
        await uploads.commit(upload, parseDigest(digest), { ...bodyOf(bytes.subarray(size)), offset: size })
        await uploads.cancel(upload)
      }
    },
  },

  {
    name: 'that are too large get 413, and the store keeps working',
    limits: { ...smallPool, blobBytesMax: 1_000_000 },
    run: async (opened) => {
      const { uploads, blobs } = opened
      const [fits, not] = [randomBlob(1_000_000), randomBlob(1_000_001)]
      const upload = uploads.start(SCOPE, 'sha256')
      expect((await failureOf(uploads.append(upload, bodyOf(not.bytes)))).status).toBe(413)
      const closing = uploads.start(SCOPE, 'sha256')
      await uploads.append(closing, bodyOf(not.bytes.subarray(0, 900_000)))
      const rest = uploads.commit(closing, parseDigest(not.digest), bodyOf(not.bytes.subarray(900_000)))
      expect((await failureOf(rest)).status).toBe(413)
      expect(await blobs.stat(parseDigest(not.digest))).toBeUndefined()
      await store(opened, fits.bytes)
    },
  },

  {
    name: 'in progress all continue, also when there are more than are kept open',
    run: async (opened) => {
      const { uploads } = opened
      const started = Array.from({ length: 700 }, () => uploads.start(SCOPE, 'sha256'))
      const [first, second] = [named('first, '), named('second')]
      await Promise.all(started.map((upload) => uploads.append(upload, bodyOf(first.bytes))))
      const digest = parseDigest(digestOf(named('first, second').bytes))
      for (const upload of started.slice(0, 30)) {
        await uploads.append(upload, { ...bodyOf(second.bytes), offset: first.bytes.length })
        await uploads.commit(upload, digest, NO_BODY)
        await uploads.cancel(upload)
      }
      const sizes = await Promise.all(
        started.slice(30).map((upload) => uploads.append(upload, bodyOf(second.bytes))),
      )
      expect(new Set(sizes)).toEqual(new Set(['first, second'.length]))
      const blobs = await Promise.all(
        started.slice(30).map((upload) => uploads.commit(upload, digest, NO_BODY)),
      )
      for (const { bytes } of blobs) expect(digestOf(bytes!)).toBe(digest)
    },
  },
]
