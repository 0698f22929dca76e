import { expect, test } from 'bun:test'
import { BodyReader, type BodyReaderOptions } from '../../src/http/body.ts'
import { failureOf } from '../support/failure.ts'

const withBody = (
  body: string,
  headers: Record<string, string> = { 'content-length': `${body.length}` },
) => ({
  request: new Request('http://localhost/', { method: 'PUT', body, headers }),
  client: undefined,
})

const open = (options: Partial<BodyReaderOptions> = {}) =>
  new BodyReader({ budgetBytes: 20, largestBytes: 10, stallSecondsMax: 60, ...options })

/** A body that is sent by hand. */
function slowBody(headers: Record<string, string> = {}) {
  let controller: ReadableStreamDefaultController<Uint8Array> | undefined
  const body = new ReadableStream<Uint8Array>({
    start: (given) => {
      controller = given
    },
  })
  return {
    source: {
      request: new Request('http://localhost/', { method: 'PUT', body, headers }),
      client: undefined,
    },
    send: (text: string) => controller?.enqueue(new TextEncoder().encode(text)),
    end: () => controller?.close(),
  }
}

test('body reader: concurrent bodies stay within the memory budget, and each gets its turn', async () => {
  const reader = open()
  let [held, most] = [0, 0]
  const order: string[] = []
  const lengths = [4, 4, 4, 10, 1, 9, 3, 3, 3, 3]
  await Promise.all(
    lengths.map((length, n) =>
      reader.read(withBody(String(n).repeat(length)), 10, async (bytes) => {
        held += bytes.length
        most = Math.max(most, held)
        order.push(new TextDecoder().decode(bytes.subarray(0, 1)))
        await new Promise(setImmediate)
        held -= bytes.length
      }),
    ),
  )
  expect(order.toSorted()).toEqual(lengths.map((_, n) => `${n}`))
  expect(most).toBeGreaterThan(4)
  expect(most).toBeLessThanOrEqual(20)
})

test('body reader: a body that was announced but not sent takes no memory from others', async () => {
  const reader = open()
  const slow = Array.from({ length: 50 }, () => slowBody({ 'content-length': '10' }))
  const reads = slow.map(({ source }) => reader.read(source, 10, async (bytes) => bytes.length))
  expect(await reader.read(withBody('0123456789'), 10, async (bytes) => bytes.length)).toBe(10)
  for (const { send, end } of slow) {
    send('0123456789')
    end()
  }
  expect(await Promise.all(reads)).toEqual(slow.map(() => 10))
})

test('body reader: a body in many parts is joined', async () => {
  const reader = open({ budgetBytes: 200_000, largestBytes: 100_000 })
  const slow = slowBody()
  const read = reader.read(slow.source, 100_000, async (bytes) => new TextDecoder().decode(bytes))
  const parts = Array.from({ length: 3000 }, (_, n) => `part ${n};`)
  for (const part of parts) slow.send(part)
  slow.end()
  expect(await read).toBe(parts.join(''))
})

test('body reader: a failed body releases its memory', async () => {
  const reader = open()
  const failing = reader.read(withBody('0123456789'), 10, async () => {
    throw new Error('of the first')
  })
  expect((await failureOf(failing)).message).toBe('of the first')
  const both = [1, 2].map(() => reader.read(withBody('0123456789'), 10, async (bytes) => bytes.length))
  expect(await Promise.all(both)).toEqual([10, 10])
})

test('body reader: a body that is too large is refused, before it is read if it has a Content-Length', async () => {
  const reader = open()
  const announced = slowBody({ 'content-length': '11' })
  expect(await failureOf(reader.read(announced.source, 10, async () => {}))).toMatchObject({ status: 413 })
  const streamed = reader.read(withBody('0123456789a', {}), 10, async () => {})
  expect(await failureOf(streamed)).toMatchObject({ status: 413 })
})

test('body reader: a Content-Length that is not a number is refused', async () => {
  const request = { headers: new Headers({ 'content-length': '2, 2' }), body: null } as unknown as Request
  const failure = await failureOf(open().read({ request, client: undefined }, 10, async () => {}))
  expect(failure).toMatchObject({ status: 413 })
})

test('body reader: a body that stalls, or ends before its length, gets 408', async () => {
  const reader = open({ stallSecondsMax: 0.1 })
  const stalled = slowBody({ 'content-length': '10' })
  stalled.send('01234')
  expect(await failureOf(reader.read(stalled.source, 10, async () => {}))).toMatchObject({ status: 408 })
  const short = slowBody({ 'content-length': '10' })
  short.send('01234')
  short.end()
  expect(await failureOf(reader.read(short.source, 10, async () => {}))).toMatchObject({ status: 408 })
})

test('body reader: a body that gets no memory in time gets 503 with Retry-After', async () => {
  const reader = open({ budgetBytes: 10, waitSecondsMax: 0.01 })
  const { promise, resolve } = Promise.withResolvers<void>()
  const first = reader.read(withBody('0123456789'), 10, () => promise)
  const refused = await failureOf(reader.read(withBody('x'), 10, async () => {}))
  expect(refused).toMatchObject({ status: 503, headers: { 'retry-after': '5' } })
  resolve()
  await first
})
