import { expect, test } from 'bun:test'
import { parseDigest } from '../../src/oci/reference.ts'
import type { BlobStore, UploadStore } from '../../src/storage/blob-store.ts'
import { bodyOf, NO_BODY } from '../support/body.ts'
import { digestOf, named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'

/** A store that was opened for one test. */
export interface OpenedStore {
  blobs: BlobStore
  uploads: UploadStore
  /** The same store, as the next process opens it. This one is not used after that. */
  reopen(): Promise<OpenedStore>
  close(): Promise<void>
}

export interface StoreLimits {
  poolBytes: number
  blobBytesMax: number
}

export type OpenStore = (limits?: Partial<StoreLimits>) => Promise<OpenedStore>

/** The scope of the uploads of these tests. */
export const SCOPE = 'a/b'

/** A time later than any other. */
const LATER = Number.MAX_SAFE_INTEGER

/** Pushes bytes as one upload, in parts. */
export async function store(
  { uploads }: Pick<OpenedStore, 'uploads'>,
  bytes: Uint8Array<ArrayBuffer>,
  digest = digestOf(bytes),
): Promise<void> {
  const upload = uploads.start(SCOPE, digest.startsWith('sha512') ? 'sha512' : 'sha256')
  const half = bytes.length >> 1
  await uploads.append(upload, bodyOf(bytes.subarray(0, half)))
  const committed = await uploads.commit(upload, parseDigest(digest), bodyOf(bytes.subarray(half)))
  await uploads.cancel(upload)
  expect(committed).toEqual({ digest: parseDigest(digest), size: bytes.length })
}

/** Returns the bytes of a range of a blob, or of the whole blob. */
export async function read({ blobs }: Pick<OpenedStore, 'blobs'>, digest: string, range?: [number, number]) {
  const blob = (await blobs.stat(parseDigest(digest))) ?? { digest: parseDigest(digest), size: 0 }
  const [start, end] = range ?? [0, blob.size]
  const body = await blobs.open(blob, { start, end })
  if ('bytes' in body) return Uint8Array.from(body.bytes)
  return await Bun.file(body.file).slice(body.range.start, body.range.end).bytes()
}

/** A promise of a store, with the test that checks it on a newly opened store. */
export interface StorePromise {
  name: string
  limits?: Partial<StoreLimits>
  run(opened: OpenedStore): Promise<void>
}

/** A test for each promise. */
export function testPromises(name: string, open: OpenStore, promises: StorePromise[]): void {
  test.each(promises.map((promise) => [`${name} ${promise.name}`, promise] as const))(
    '%s',
    async (_, promise) => {
      const opened = await open(promise.limits)
      try {
        await promise.run(opened)
      } finally {
        await opened.close()
      }
    },
    20_000,
  )
}

/** The promises of every blob store. */
export function blobStoreSuite(name: string, open: OpenStore): void {
  testPromises(`${name}: blobs`, open, BLOBS)
  testPromises(`${name}: an upload`, open, UPLOADS)
}

const BLOBS: StorePromise[] = [
  {
    name: 'are read as they were pushed, completely and by range',
    run: async (opened) => {
      for (const size of [64 * 1024 + 1, 1_500_001]) {
        const { bytes, digest } = randomBlob(size)
        await store(opened, bytes)
        expect(await opened.blobs.stat(parseDigest(digest))).toEqual({ digest: parseDigest(digest), size })
        for (let round = 0; round < 2; round++) expect(await read(opened, digest)).toEqual(bytes)
        expect(await read(opened, digest, [1, size - 2])).toEqual(bytes.slice(1, size - 2))
      }
    },
  },

  {
    name: 'that do not exist are undefined, and opening one throws',
    run: async ({ blobs }) => {
      const digest = parseDigest(digestOf(named('no').bytes))
      expect(await blobs.stat(digest)).toBeUndefined()
      await failureOf(blobs.open({ digest, size: 1 }, { start: 0, end: 1 }))
      await blobs.delete(digest)
    },
  },

  {
    name: 'are listed until they are deleted',
    run: async (opened) => {
      const kept = [randomBlob(70_000), randomBlob(100_000)]
      const sha512 = digestOf(kept[0]!.bytes, 'sha512')
      const gone = randomBlob(80_000)
      for (const { bytes } of [...kept, gone]) await store(opened, bytes)
      await store(opened, kept[0]!.bytes, sha512)
      await read(opened, gone.digest)
      await opened.blobs.delete(parseDigest(gone.digest))
      expect(await opened.blobs.stat(parseDigest(gone.digest))).toBeUndefined()
      const blob = { digest: parseDigest(gone.digest), size: 80_000 }
      await failureOf(opened.blobs.open(blob, { start: 0, end: 20 }))
      const listed = await Array.fromAsync(opened.blobs.list())
      const expected: string[] = [...kept.map(({ digest }) => digest), sha512]
      expect(listed.map(({ digest }) => digest as string).sort()).toEqual(expected.sort())
    },
  },

  {
    name: 'with the same bytes are stored once, also when they are pushed concurrently',
    run: async (opened) => {
      const { bytes, digest } = randomBlob(300_000)
      await Promise.all(Array.from({ length: 12 }, () => store(opened, bytes)))
      await store(opened, bytes)
      expect(await Array.fromAsync(opened.blobs.list())).toEqual([
        { digest: parseDigest(digest), size: 300_000, changedAt: expect.any(Number) },
      ])
      expect(await read(opened, digest)).toEqual(bytes)
      expect(await opened.uploads.expire(LATER)).toBe(0)
    },
  },

  {
    name: 'with an unexpected size are not opened',
    run: async (opened) => {
      const { bytes, digest } = randomBlob(100_000)
      await store(opened, bytes)
      for (const size of [99_999, 100_001]) {
        const failure = await failureOf(
          opened.blobs.open({ digest: parseDigest(digest), size }, { start: 0, end: 1 }),
        )
        expect(failure.message).toContain(`100000 bytes instead of ${size}`)
      }
    },
  },

  {
    name: 'survive a restart',
    run: async (opened) => {
      const { bytes, digest } = randomBlob(100_000)
      await store(opened, bytes)
      expect(await read(await opened.reopen(), digest)).toEqual(bytes)
    },
  },

  {
    name: 'do not change when a client appends to their published upload',
    run: async (opened) => {
      const { bytes, digest } = randomBlob(200_000)
      const upload = opened.uploads.start(SCOPE, 'sha256')
      await opened.uploads.append(upload, bodyOf(bytes.subarray(0, 100_000)))
      await opened.uploads.commit(upload, parseDigest(digest), bodyOf(bytes.subarray(100_000)))
      expect(await opened.uploads.append(upload, bodyOf(named('more').bytes))).toBe(200_004)
      expect(digestOf(await read(opened, digest))).toBe(digest)
      await opened.uploads.cancel(upload)
      expect(digestOf(await read(opened, digest))).toBe(digest)
    },
  },
]

const wrong = parseDigest(digestOf(named('wrong').bytes))

const UPLOADS: StorePromise[] = [
  {
    name: 'continues with its bytes after a close with a wrong digest',
    run: async (opened) => {
      const { uploads, blobs } = opened
      for (const algorithm of ['sha256', 'sha512'] as const) {
        const { bytes } = randomBlob(700_000)
        const digest = parseDigest(digestOf(bytes, 'sha512'))
        const upload = uploads.start(SCOPE, algorithm)
        await uploads.append(upload, bodyOf(bytes.subarray(0, 600_000)))
        expect((await failureOf(uploads.commit(upload, wrong, NO_BODY))).message).toContain('DIGEST_INVALID')
        expect(await uploads.getSize(upload)).toBe(600_000)
        await uploads.commit(upload, digest, bodyOf(bytes.subarray(600_000)))
        expect(await read(opened, digest)).toEqual(bytes)
        expect(await blobs.stat(wrong)).toBeUndefined()
      }
    },
  },

  {
    name: 'accepts only chunks that begin at its end',
    run: async ({ uploads }) => {
      const upload = uploads.start(SCOPE, 'sha256')
      for (const offset of [1, 5]) {
        const late = { ...bodyOf(named('xx').bytes), offset }
        expect((await failureOf(uploads.append(upload, late))).message).toContain('has 0 bytes')
        expect((await failureOf(uploads.commit(upload, wrong, late))).message).toContain('has 0 bytes')
      }
      expect(await uploads.append(upload, { ...bodyOf(named('01').bytes), offset: 0 })).toBe(2)
      const again = { ...bodyOf(named('01').bytes), offset: 0 }
      expect((await failureOf(uploads.append(upload, again))).message).toContain('has 2 bytes')
      expect(await uploads.append(upload, { ...bodyOf(named('23').bytes), offset: 2 })).toBe(4)
      await uploads.commit(upload, parseDigest(digestOf(named('0123').bytes)), NO_BODY)
    },
  },

  {
    name: 'resumes after a restart, and can be closed with any digest algorithm',
    run: async (opened) => {
      const { bytes } = randomBlob(3_000_000)
      const algorithms = ['sha256', 'sha512'] as const
      const started = algorithms.map((algorithm) => opened.uploads.start(SCOPE, algorithm))
      for (const upload of started) await opened.uploads.append(upload, bodyOf(bytes.subarray(0, 2_900_000)))
      const again = await opened.reopen()
      for (const [n, { id }] of started.entries()) {
        expect(await again.uploads.find('another', id)).toBeUndefined()
        const upload = (await again.uploads.find(SCOPE, id))!
        expect(upload.algorithm).toBe(algorithms[n]!)
        expect(await again.uploads.getSize(upload)).toBe(2_900_000)
        const digest = parseDigest(digestOf(bytes, algorithms[1 - n]))
        const rest = { ...bodyOf(bytes.subarray(2_900_000)), offset: 2_900_000 }
        await again.uploads.commit(upload, digest, rest)
        expect(await read(again, digest)).toEqual(bytes)
      }
    },
  },

  {
    name: 'exists before its first byte, only in its scope, until it is cancelled or expires',
    run: async (opened) => {
      const upload = opened.uploads.start(SCOPE, 'sha512')
      expect(await opened.uploads.find(SCOPE, crypto.randomUUID())).toBeUndefined()
      const { uploads } = await opened.reopen()
      expect(await uploads.find('another', upload.id)).toBeUndefined()
      for (const id of ['', '..', '../a', `${upload.id}x`, upload.id.replace('sha512', 'sha256')]) {
        expect(await uploads.find(SCOPE, id)).toBeUndefined()
      }
      const found = (await uploads.find(SCOPE, upload.id))!
      expect([found.algorithm, await uploads.getSize(found)]).toEqual(['sha512', 0])
      await uploads.cancel(found)
      expect(await uploads.find(SCOPE, upload.id)).toBeUndefined()
      const idle = uploads.start(SCOPE, 'sha256')
      expect(await uploads.expire(LATER)).toBe(0)
      expect(await uploads.find(SCOPE, idle.id)).toBeUndefined()
    },
  },

  {
    name: 'leaves nothing behind when it is cancelled',
    run: async ({ uploads }) => {
      const upload = uploads.start(SCOPE, 'sha256')
      await uploads.cancel(upload)
      await uploads.append(upload, bodyOf(named('x').bytes)).catch(() => {})
      await uploads.cancel(upload)
      const other = uploads.start(SCOPE, 'sha256')
      await uploads.append(other, bodyOf(named('bytes').bytes))
      expect(await uploads.expire(0)).toBe(0)
      expect(await uploads.expire(LATER)).toBe(1)
      expect(await uploads.find(SCOPE, other.id)).toBeUndefined()
    },
  },
]
