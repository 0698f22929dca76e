import { describe, expect, test } from 'bun:test'
import { connect } from 'node:net'
import type { FillOrder } from '../../src/cache/fills.ts'
import { Pace, Places } from '../../src/cache/pace.ts'
import { Passages } from '../../src/cache/passages.ts'
import type { UpstreamError } from '../../src/cache/upstream/answer.ts'
import type { Upstream } from '../../src/cache/upstream/upstream.ts'
import { parseDigest, type RepositoryName } from '../../src/oci/reference.ts'
import type { FedBody } from '../../src/storage/blob-store.ts'
import { startCache } from '../support/cache.ts'
import { Clock } from '../support/clock.ts'
import { randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { until } from '../support/until.ts'
import { head } from '../support/upstream.ts'

const SIZE = 300_000
const STALL_SECONDS = 15
const WHOLE = { start: 0, end: SIZE }

type Send = (bytes: Uint8Array, from: number) => ReadableStream<Uint8Array>

/** Sends the rest of a blob, in two chunks. */
const sendAll: Send = (bytes, from) => {
  const half = from + ((bytes.length - from) >> 1)
  return chunks([bytes.slice(from, half), bytes.slice(half)])
}

/** Sends one chunk, and then nothing. */
const sendSome: Send = (bytes, from) => chunks([bytes.slice(from, from + 100_000)], false)

function chunks(parts: Uint8Array[], isEnding = true): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part)
      if (isEnding) controller.close()
    },
  })
}

/** An upstream with one connection, on a clock that the test moves. Responses are sent by `sends`, in order. */
function startPassages(...sends: Send[]) {
  const clock = new Clock(0)
  const { bytes, digest: text } = randomBlob(SIZE)
  const asked: number[] = []
  const upstream = {
    name: 'up.example',
    places: new Places(1),
    isUpFor: () => true,
    getBlob: async (_: unknown, __: unknown, from: number) => {
      asked.push(from)
      return { stream: (sends.shift() ?? sendAll)(bytes, from), from, total: SIZE, take: () => undefined }
    },
  } as unknown as Upstream
  const order: FillOrder = {
    digest: parseDigest(text),
    size: SIZE,
    upstream,
    repository: 'up.example/app' as RepositoryName,
  }
  let check = () => {}
  const passages = new Passages({
    pace: new Pace(SIZE),
    places: new Places(2),
    monotonic: clock.now,
    firstByteMs: 60_000,
    stallSecondsMax: STALL_SECONDS,
    totalSecondsMax: 100,
    pause: async () => {},
    onReceived: () => {},
    every: (_, work) => {
      check = work
      return () => {}
    },
  })
  return {
    bytes,
    asked,
    passages,
    open: (milliseconds = 60_000) => passages.open({ ...order }, WHOLE, milliseconds),
    pass(seconds: number) {
      clock.advance(seconds)
      check()
    },
  }
}

async function readAll(body: FedBody): Promise<Buffer> {
  const parts: Buffer[] = []
  await body.feed({
    write(bytes) {
      parts.push(Buffer.from(bytes))
      return true
    },
  })
  return Buffer.concat(parts)
}

/** A client that reads nothing. */
const idle = { write: () => new Promise<boolean>(() => {}) }

describe('passing through: a client that reads nothing', () => {
  test('loses its place to one that waits for it, after the time of a stall', async () => {
    const { open, pass, bytes } = startPassages()
    const cut = failureOf((await open()).feed(idle))
    const next = open()
    pass(STALL_SECONDS - 1)
    pass(1)
    expect((await cut).message).toBe('the client reads too slowly')
    expect((await readAll(await next)).equals(bytes)).toBe(true)
  })

  test('is cut some time later, even if nobody waits', async () => {
    const { open, pass } = startPassages()
    const feeding = (await open()).feed(idle)
    pass(STALL_SECONDS)
    expect(await Promise.race([feeding, Promise.resolve('goes on')])).toBe('goes on')
    pass(3 * STALL_SECONDS)
    expect((await failureOf(feeding)).message).toBe('the client reads too slowly')
    await open()
  })

  test('gives its place back, even if it has left before the first byte', async () => {
    const { open, pass } = startPassages()
    await open()
    const next = open()
    pass(STALL_SECONDS)
    await next
  })
})

test('passing through: a client that reads a little at a time loses its place to one that waits', async () => {
  const { open, pass } = startPassages()
  let taken = Promise.withResolvers<boolean>()
  const write = () => taken.promise
  const cut = failureOf((await open()).feed({ write }))
  const next = open()
  for (let second = 0; second < STALL_SECONDS; second++) {
    const { resolve } = taken
    if (second < 4) {
      taken = Promise.withResolvers()
      resolve(true)
    }
    await new Promise(setImmediate)
    pass(1)
  }
  expect((await cut).message).toBe('the client reads too slowly')
  await next
})

test('passing through: a request that gets no place in time is refused', async () => {
  const { open } = startPassages()
  await open()
  const refused = (await failureOf(open(1))) as UpstreamError
  expect([refused.kind, refused.isTimeout]).toEqual(['unavailable', false])
  expect(refused.message).toContain('too many')
})

test('passing through: an upstream that stalls is asked for the rest', async () => {
  const { open, pass, asked, bytes } = startPassages(sendSome)
  const reading = readAll(await open())
  await new Promise(setImmediate)
  pass(STALL_SECONDS)
  expect((await reading).equals(bytes)).toBe(true)
  expect(asked).toEqual([0, 100_000])
})

test('passing through: an upstream that breaks off again and again before the first byte is given up', async () => {
  const { open, asked } = startPassages(...Array<Send>(20).fill(() => chunks([])))
  const error = (await failureOf(open())) as UpstreamError
  expect([error.kind, error.message]).toEqual(['unavailable', 'up.example breaks off'])
  expect(asked.length).toBeLessThan(10)
})

test('passing through: it ends when its total time is over', async () => {
  const { open, pass } = startPassages(sendSome, sendSome, sendSome)
  const cut = failureOf((await open()).feed({ write: () => true }))
  await new Promise(setImmediate)
  pass(100)
  expect((await cut).message).toContain('cache.total-seconds-max')
})

test('passing through: it ends when the server stops', async () => {
  const { open, passages } = startPassages(sendSome)
  const cut = failureOf((await open()).feed({ write: () => true }))
  passages.stop()
  expect((await cut).message).toBe('the server is stopping')
})

describe('cache: a blob that is passed through', () => {
  const blob = randomBlob(6_000_000)

  test('takes one of the connections to the upstream, and is a 503 with Retry-After without one', async () => {
    await using cache = await startCache({
      upstream: 'connections = 1',
      cache: 'bytes-max = 1_000_000\nfirst-byte-seconds-max = 1',
    })
    cache.fake.putBlob('library/app', blob)
    const small = randomBlob(200_000)
    const gate = Promise.withResolvers<void>()
    const length = { 'content-length': '200000' }
    cache.fake.putBlob('library/app', small)
    cache.fake.on(/^GET .*blobs/, () => [head(200, length), small.bytes.subarray(0, 9), gate.promise], 1)
    const first = await cache.get(`blobs/${small.digest}`)
    const refused = await cache.get(`blobs/${blob.digest}`)
    expect([refused.status, refused.headers.has('retry-after')]).toEqual([503, true])
    expect(cache.fake.requests(/^GET .*blobs/)).toHaveLength(1)
    expect((await cache.get(`blobs/${blob.digest}`, { method: 'HEAD' })).status).toBe(200)
    gate.resolve()
    await first.body?.cancel()
  })

  test('is sent as a whole if a range of it begins late, because that would have no status line for long', async () => {
    await using cache = await startCache({ cache: 'bytes-max = 1_000_000' })
    cache.fake.putBlob('library/app', blob)
    const get = (range: string) => cache.get(`blobs/${blob.digest}`, { headers: { range } })
    const early = await get('bytes=1000-4999999')
    expect(early.status).toBe(206)
    expect(Buffer.from(await early.bytes()).equals(blob.bytes.subarray(1000, 5_000_000))).toBe(true)
    for (const range of ['bytes=5000000-', 'bytes=0-0']) {
      const late = await get(range)
      expect([late.status, late.headers.get('content-range')]).toEqual([200, null])
      expect(Buffer.from(await late.bytes()).equals(blob.bytes)).toBe(true)
    }
  })

  test('gives its connection to the next client when its own one reads nothing', async () => {
    const settings = 'bytes-max = 1_000_000\nstall-seconds-max = 1'
    await using cache = await startCache({ upstream: 'connections = 1', cache: settings })
    const large = randomBlob(30_000_000)
    for (const one of [blob, large]) cache.fake.putBlob('library/app', one)
    const { hostname, port } = new URL(cache.server.url)
    const socket = connect(Number(port), hostname).pause()
    socket.on('error', () => {})
    socket.write(`GET /v2/up.example/library/app/blobs/${large.digest} HTTP/1.1\r\nHost: ${hostname}\r\n\r\n`)
    await until(() => cache.fake.requests(/^GET .*blobs/).length === 1)
    const next = await cache.get(`blobs/${blob.digest}`)
    expect(Buffer.from(await next.bytes()).equals(blob.bytes)).toBe(true)
    socket.destroy()
  }, 30_000)
})
