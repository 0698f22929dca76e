import { expect, test } from 'bun:test'
import { FollowedFile } from '../../src/cache/followed-file.ts'
import { Pace } from '../../src/cache/pace.ts'
import type { GrowingFile } from '../../src/storage/blob-store.ts'
import { SharedReads } from '../../src/storage/shared-reads.ts'
import { failureOf } from '../support/failure.ts'
import { until } from '../support/until.ts'

const SIZE = 1000
const WHOLE = { start: 0, end: SIZE }
const content = Uint8Array.from({ length: SIZE }, (_, at) => at % 251)

/** A file that grows by parts. */
function growing() {
  const reads: number[] = []
  let closed = 0
  const opened: GrowingFile = {
    async read(into, at) {
      reads.push(at)
      const bytes = content.subarray(at, at + into.length)
      into.set(bytes)
      return bytes.length
    },
    async close() {
      closed++
    },
  }
  const file = new FollowedFile({
    id: 'a',
    open: async () => opened,
    reads: new SharedReads(SIZE, 100),
    pace: new Pace(SIZE),
  })
  /** Appends bytes whose memory is reused at once. */
  const append = (end: number) => {
    const part = content.slice(file.size, end)
    file.append(part)
    part.fill(0)
  }
  return { file, reads, append, closed: () => closed }
}

/** A client that receives what it is sent. */
function client(file: FollowedFile, range = WHOLE) {
  const received: number[] = []
  const write = (bytes: Uint8Array) => {
    received.push(...bytes)
    return true
  }
  return { received, done: file.feed(range, { write }) }
}

test('followed file: a client that is close behind is served from memory', async () => {
  const { file, reads, append } = growing()
  const { received, done } = client(file)
  for (const end of [30, 400, SIZE]) {
    append(end)
    await until(() => received.length === Math.min(end, SIZE - 1))
  }
  file.allowEnd()
  await done
  expect(Uint8Array.from(received)).toEqual(content)
  expect(reads).toEqual([])
})

test('followed file: a client that is behind reads the file, and later bytes come from memory again', async () => {
  const { file, reads, append } = growing()
  append(300)
  const { received, done } = client(file)
  await until(() => received.length === 300)
  expect(reads).toEqual([0, 100, 200])
  append(SIZE)
  file.allowEnd()
  await done
  expect(Uint8Array.from(received)).toEqual(content)
  expect(reads).toHaveLength(3)
})

test('followed file: the last byte waits for the digest, also of a range', async () => {
  const { file, append } = growing()
  const whole = client(file)
  const range = client(file, { start: 100, end: 200 })
  append(SIZE)
  await until(() => whole.received.length === SIZE - 1 && range.received.length === 99)
  file.allowEnd()
  await Promise.all([whole.done, range.done])
  expect([whole.received.length, range.received.length]).toEqual([SIZE, 100])
})

test('followed file: a failure ends each client that waits, and the file is closed once', async () => {
  const { file, append, closed } = growing()
  const { received, done } = client(file)
  append(500)
  await until(() => received.length === 500)
  const failure = failureOf(done)
  file.end(new Error('the upstream is gone'))
  expect(await failure).toMatchObject({ message: 'the upstream is gone' })
  await until(() => closed() === 1)
})
