import { afterAll, beforeAll, expect, test } from 'bun:test'
import { connect } from 'node:net'
import { blobResponse } from '../../src/http/blob-response.ts'
import { parseDigest, parseRepositoryName } from '../../src/oci/reference.ts'
import { readBlob } from '../../src/registry/registry.ts'
import type { ByteSink, FedBody } from '../../src/storage/blob-store.ts'
import { digestOf, randomBlob } from '../support/content.ts'

const SIZE = 1_000_003
const PART = 64 * 1024
const { bytes } = randomBlob(SIZE)
const repository = parseRepositoryName('fed')
const digest = parseDigest(digestOf(bytes))

/** Writes a range in parts from one buffer that is overwritten after each part. */
async function feedRange(sink: ByteSink, { start, end }: { start: number; end: number }): Promise<boolean> {
  const shared = new Uint8Array(PART)
  for (let at = start; at < end; at += PART) {
    const part = bytes.subarray(at, Math.min(end, at + PART))
    shared.set(part)
    const more = sink.write(shared.subarray(0, part.length))
    shared.fill(0)
    if (!(await more)) return false
  }
  return true
}

let feed: (sink: ByteSink, range: { start: number; end: number }) => Promise<void>
const blob = {
  size: SIZE,
  read: async (range: { start: number; end: number }): Promise<FedBody> => ({
    feed: (sink) => feed(sink, range),
  }),
}
let server: ReturnType<typeof Bun.serve>

beforeAll(() => {
  server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    fetch(request) {
      const blobs = { getSize: async () => SIZE, open: async () => blob }
      return blobResponse({ request, blobs, repository, digest, onBlobBody: () => {} })
    },
  })
})
afterAll(() => server.stop(true))

const whole = async (sink: ByteSink, range: { start: number; end: number }) => {
  await feedRange(sink, range)
}

test('fed blobs: a client gets all bytes, although their buffer is reused', async () => {
  feed = whole
  const response = await fetch(server.url)
  expect(response.status).toBe(200)
  expect(response.headers.get('docker-content-digest')).toBe(digest)
  expect(digestOf(await response.bytes())).toBe(digest)
})

test('fed blobs: a range is 206 with the bytes of the range', async () => {
  feed = whole
  const response = await fetch(server.url, { headers: { range: 'bytes=100000-299999' } })
  expect(response.status).toBe(206)
  expect(response.headers.get('content-range')).toBe(`bytes 100000-299999/${SIZE}`)
  expect(await response.bytes()).toEqual(bytes.slice(100_000, 300_000))
})

test('fed blobs: HEAD returns the size and feeds nothing', async () => {
  feed = () => Promise.reject(new Error('HEAD has no body'))
  const response = await fetch(server.url, { method: 'HEAD' })
  expect([response.status, response.headers.get('content-length')]).toEqual([200, `${SIZE}`])
})

test('fed blobs: a failed body resets the connection, so that the client does not consider it complete', async () => {
  feed = async (sink, { start }) => {
    await feedRange(sink, { start, end: 100_000 })
    throw new Error('the upstream broke off')
  }
  const response = await fetch(server.url)
  const failure = await response.bytes().then(
    () => undefined,
    (error) => error,
  )
  expect(failure).toBeInstanceOf(Error)
})

test('fed blobs: a disconnect stops the feeding', async () => {
  const left = Promise.withResolvers<boolean>()
  const began = Promise.withResolvers<void>()
  feed = async (sink) => {
    for (;;) {
      if (!(await feedRange(sink, { start: 0, end: SIZE }))) break
      began.resolve()
    }
    left.resolve(true)
  }
  const socket = connect(Number(server.port), '127.0.0.1', () =>
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  )
  socket.resume()
  await began.promise
  socket.destroy()
  expect(await left.promise).toBe(true)
})

test('fed blobs: a slow client slows the feeding down', async () => {
  let written = 0
  const ended = Promise.withResolvers<void>()
  feed = async (sink) => {
    for (let round = 0; round < 64; round++) {
      if (!(await feedRange(sink, { start: 0, end: SIZE }))) break
      written += SIZE
    }
    ended.resolve()
  }
  const socket = connect(Number(server.port), '127.0.0.1', () =>
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'),
  )
  const first = Promise.withResolvers<void>()
  socket.once('data', () => {
    socket.pause()
    first.resolve()
  })
  await first.promise
  // Other requests are served meanwhile.
  expect((await fetch(server.url, { method: 'HEAD' })).status).toBe(200)
  expect(written).toBeLessThan(64 * SIZE)
  socket.resume()
  await ended.promise
  expect(written).toBe(64 * SIZE)
  socket.destroy()
})

test('fed blobs: a small one is read whole into memory, and a larger one is not', async () => {
  feed = whole
  expect(await readBlob(blob, SIZE)).toEqual(bytes)
  expect(await readBlob(blob, SIZE - 1)).toBeUndefined()
})
