import { expect } from 'bun:test'
import { parseDigest } from '../../src/oci/reference.ts'
import { bodyOf, NO_BODY } from '../support/body.ts'
import { digestOf, named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { type OpenStore, SCOPE, type StorePromise, testPromises } from './blob-store-suite.ts'

/** The promises of every store about blobs that are too small for files. */
export function smallBlobSuite(name: string, open: OpenStore): void {
  testPromises(`${name}: small blobs`, open, PROMISES)
}

const PROMISES: StorePromise[] = [
  {
    name: 'are not stored: their verified bytes are returned, however they were sent',
    run: async ({ uploads, blobs }) => {
      for (const size of [0, 1, 4096, 64 * 1024]) {
        const { bytes } = randomBlob(size)
        const halves = [bytes.subarray(0, size >> 1), bytes.subarray(size >> 1)] as const
        for (const algorithm of ['sha256', 'sha512'] as const) {
          const digest = parseDigest(digestOf(bytes, algorithm))
          for (const [appended, last] of [
            [NO_BODY, bodyOf(bytes)],
            [bodyOf(bytes), NO_BODY],
            [bodyOf(halves[0]), bodyOf(halves[1])],
          ] as const) {
            const upload = uploads.start(SCOPE, 'sha256')
            await uploads.append(upload, appended)
            expect(await uploads.commit(upload, digest, last)).toEqual({ digest, size, bytes })
            await uploads.cancel(upload)
          }
          expect(await blobs.stat(digest)).toBeUndefined()
        }
      }
    },
  },

  {
    name: 'that stall are aborted, and their upload can continue',
    run: async ({ uploads }) => {
      const { bytes, digest } = named('small')
      const upload = uploads.start(SCOPE, 'sha256')
      const body = { stream: null, length: bytes.length, stallSecondsMax: 0.01 }
      const never = new Promise<Uint8Array>(() => {})
      const late = uploads.commit(upload, parseDigest(digest), { ...body, bytes: () => never })
      expect((await failureOf(late)).status).toBe(408)
      const whole = { ...body, bytes: async () => bytes, stallSecondsMax: 60 }
      expect(await uploads.commit(upload, parseDigest(digest), whole)).toMatchObject({ bytes })
    },
  },
]
