import { describe, expect, test } from 'bun:test'
import { Fill, type FillContext } from '../../src/cache/fills.ts'
import { Pace, Places } from '../../src/cache/pace.ts'
import { Passages } from '../../src/cache/passages.ts'
import { errorOfStatus } from '../../src/cache/upstream/answer.ts'
import type { Upstream } from '../../src/cache/upstream/upstream.ts'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import type { UploadBody } from '../../src/storage/blob-store.ts'
import { startCache } from '../support/cache.ts'
import { Clock } from '../support/clock.ts'
import { randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { head, reply } from '../support/upstream.ts'

const SIZE = 1000
const HALF = SIZE / 2
const [FIRST_BYTE_SECONDS, TOTAL_SECONDS] = [20, 100]
const blob = randomBlob(SIZE)

/** An upstream that sends the first half, then refuses so many times, and then sends the rest. */
function openRefusing(status: number, retryAfter: number, times = 1) {
  const clock = new Clock(0)
  const pauses: number[] = []
  let refusals = 0
  const upstream = {
    name: 'up.example',
    places: new Places(1),
    isUpFor: () => true,
    async getBlob(_: unknown, __: unknown, from: number) {
      const headers = new Headers({ 'retry-after': String(retryAfter) })
      if (from > 0 && refusals++ < times) throw errorOfStatus('up.example', { status, headers })
      const stream = new Blob([blob.bytes.subarray(from, from + HALF)]).stream()
      return { stream, from, total: SIZE, take: () => undefined }
    },
  } as unknown as Upstream
  const order = {
    digest: parseDigest(blob.digest),
    size: SIZE,
    upstream,
    repository: parseRepositoryName('up.example/app'),
  }
  const shared = {
    monotonic: clock.now,
    stallSecondsMax: 15,
    totalSecondsMax: TOTAL_SECONDS,
    async pause(milliseconds: number) {
      pauses.push(milliseconds)
      clock.advance(milliseconds / 1000)
    },
    onReceived: () => {},
  }
  return { order, shared, pauses }
}

type Refusing = ReturnType<typeof openRefusing>

/** Runs a fill that keeps its bytes in memory. */
async function fill({ order, shared }: Refusing): Promise<void> {
  let size = 0
  const store = {
    of: () => ({}),
    getSize: async () => size,
    verify: async () => true,
    cancel: async () => {},
    async append(_: unknown, { stream, onWritten }: UploadBody) {
      for await (const part of stream as AsyncIterable<Uint8Array>) {
        size += part.length
        onWritten?.(part)
      }
      return size
    },
  }
  const context = {
    ...shared,
    store,
    reads: { keep: () => {} },
    pace: new Pace(SIZE),
    signal: new AbortController().signal,
    deadlineMs: FIRST_BYTE_SECONDS * 1000,
    takePlace: async () => () => {},
    publish: async () => {},
    onEnd: () => {},
    onResumed: () => {},
  }
  await new Fill(order, '1', context as unknown as FillContext).ended
}

/** Passes a blob through to a client that reads all of it. */
async function passThrough({ order, shared }: Refusing): Promise<void> {
  const passages = new Passages({
    ...shared,
    pace: new Pace(SIZE),
    places: new Places(1),
    firstByteMs: FIRST_BYTE_SECONDS * 1000,
    every: () => () => {},
  })
  const body = await passages.open(order, { start: 0, end: SIZE }, 10_000)
  await body.feed({ write: () => true })
}

describe.each([
  ['a download', fill],
  ['a blob that is passed through', passThrough],
] as const)('Retry-After between two attempts: %s', (_, run) => {
  test.each([429, 503])('waits as long as a %d says', async (status) => {
    const refusing = openRefusing(status, 9)
    await run(refusing)
    expect(refusing.pauses.slice(-1)).toEqual([9000])
  })

  test.each([
    [429, 'limited', FIRST_BYTE_SECONDS, 1],
    [503, 'unavailable', FIRST_BYTE_SECONDS, 1],
    [429, 'limited', 9, 3],
  ])(
    'ends with the %d (%s) if %d s are longer than clients wait, %d times in a row',
    async (status, kind, seconds, times) => {
      const refusing = openRefusing(status, seconds, times)
      expect(await failureOf(run(refusing))).toMatchObject({ kind, status, retryAfterSeconds: seconds })
      expect(refusing.pauses.filter((pause) => pause >= 9000)).toHaveLength(times - 1)
    },
  )
})

test('cache: a download that is resumed gets 429 with Retry-After at once if that is longer than clients wait', async () => {
  const large = randomBlob(400_000)
  await using cache = await startCache()
  cache.fake.putBlob('library/app', large)
  const limited = reply(429, { 'retry-after': '60' }, '')
  cache.fake.on(/^GET .*blobs/, limited)
  const half = large.bytes.subarray(0, 200_000)
  const gate = Promise.withResolvers<void>()
  cache.fake.on(/^GET .*blobs/, [head(200, { 'content-length': '400000' }), half, gate.promise, 'fin'], 1)
  const first = await cache.get(`blobs/${large.digest}`)
  gate.resolve()
  expect(await first.bytes().catch(() => 'cut')).toBe('cut')
  const refused = await cache.get(`blobs/${large.digest}`)
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '60'])
  expect(cache.fake.requests(/^GET .*blobs/)).toHaveLength(2)
})
