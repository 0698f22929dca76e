import { expect, test } from 'bun:test'
import { BodyReader } from '../../../src/http/request/body-reader.ts'
import { failureOf } from '../../support/failure.ts'

const withBody = (body: string, headers: Record<string, string> = { 'content-length': `${body.length}` }) =>
  new Request('http://localhost/', { method: 'PUT', body, headers })

/** Uses of bodies that end when they are told to. */
function gate() {
  const { promise, resolve } = Promise.withResolvers<void>()
  return { opened: promise, open: resolve }
}

test('bodies that are in memory together stay within the budget, and each has its turn', async () => {
  const reader = new BodyReader(10, 60)
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
  expect(order.indexOf('3')).toBeLessThan(order.indexOf('6'))
  expect(most).toBeGreaterThan(4)
  expect(most).toBeLessThanOrEqual(10)
})

test('one of unknown length counts as the largest, and what fails gives its memory back', async () => {
  const reader = new BodyReader(10, 60)
  const { opened, open } = gate()
  const first = reader.read(withBody('x', {}), 10, () => opened)
  let second = 'waits'
  const other = reader.read(withBody('y'), 10, async () => {
    second = 'has its turn'
    throw new Error('of the second')
  })
  const failure = failureOf(other)
  await new Promise(setImmediate)
  expect(second).toBe('waits')
  open()
  await first
  expect((await failure).message).toBe('of the second')
  expect(await reader.read(withBody('0123456789'), 10, async (bytes) => bytes.length)).toBe(10)
})

test('one that is too large is refused at once, before its turn', async () => {
  const reader = new BodyReader(10, 60)
  const { opened, open } = gate()
  const first = reader.read(withBody('0123456789'), 10, () => opened)
  expect(await failureOf(reader.read(withBody('0123456789a'), 10, async () => {}))).toMatchObject({
    status: 413,
  })
  open()
  await first
  const streamed = reader.read(withBody('0123456789a', {}), 10, async () => {})
  expect(await failureOf(streamed)).toMatchObject({ status: 413 })
})

test('more than may wait are refused with when to come again', async () => {
  const reader = new BodyReader(1, 60)
  const { opened, open } = gate()
  const waiting = Array.from({ length: 1001 }, () => reader.read(withBody('x'), 1, () => opened))
  const refused = await failureOf(reader.read(withBody('x'), 1, async () => {}))
  expect(refused).toMatchObject({ status: 429, headers: { 'retry-after': '1' } })
  open()
  await Promise.all(waiting)
})
