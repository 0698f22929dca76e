import { afterAll, expect, test } from 'bun:test'
import { MEDIA_TYPE } from '../../src/oci/manifest.ts'
import { digestFromHex, parseRepositoryName, parseTag } from '../../src/oci/reference.ts'
import { ContentReader, type ReadingQuestion, type ReadingThread } from '../../src/registry/content-reader.ts'
import { failureOf } from '../support/failure.ts'
import { turnsDuring } from '../support/turns.ts'
import { until } from '../support/until.ts'

const reader = new ContentReader()
afterAll(() => reader.stop())

const digest = (digit: string) => digestFromHex('sha256', digit.repeat(64))
const CONFIG = { mediaType: 'application/vnd.oci.image.config.v1+json', digest: digest('0'), size: 2 }
const bytesOf = (value: unknown) => new TextEncoder().encode(JSON.stringify(value))

/** How many turns others must get while a large document is read. Reading it on this thread would leave them one. */
const TURNS_MIN = 10

/** Returns a manifest of a few megabytes. */
const LARGE = bytesOf({
  schemaVersion: 2,
  mediaType: MEDIA_TYPE.ociManifest,
  config: CONFIG,
  layers: Array.from({ length: 1500 }, () => ({ ...CONFIG, annotations: { a: 'x'.repeat(1000) } })),
  annotations: Object.fromEntries(Array.from({ length: 35_000 }, (_, i) => [`k${i}`, 'v'.repeat(60)])),
})

const row = (name: string, size: number) => ({
  digest: digest(name),
  mediaType: MEDIA_TYPE.ociManifest,
  size,
})

test('content reader: a large manifest is described without blocking the serving thread, and marked as truncated', async () => {
  let brief: Awaited<ReturnType<ContentReader['manifestBrief']>>
  const turns = await turnsDuring(async () => {
    brief = await reader.manifestBrief(row('1', LARGE.length), () => LARGE)
  })
  expect(turns).toBeGreaterThan(TURNS_MIN)
  expect(brief).toMatchObject({ truncated: true, layerCount: 1500 })
  expect(Object.keys(brief?.annotations ?? {})).toHaveLength(200)
  expect(brief?.layers).toHaveLength(1000)
  expect(JSON.stringify(brief).length).toBeLessThan(2_000_000)
})

test('content reader: a large manifest is read once per digest', async () => {
  let reads = 0
  const find = () => {
    reads++
    return LARGE
  }
  await Promise.all([1, 2, 3].map(() => reader.manifestBrief(row('2', LARGE.length), find)))
  expect(reads).toBe(1)
})

test('content reader: only so many bytes of large manifests have their descriptions cached', async () => {
  let reads = 0
  const startThread = () => ({ ask: async <T>() => 'brief' as T, stop: async () => {} })
  const quick = new ContentReader({ startThread })
  const describe = (name: string) =>
    quick.manifestBrief(row(name, LARGE.length), () => {
      reads++
      return LARGE
    })
  for (const name of '0123456789') await describe(name)
  await describe('9')
  expect(reads).toBe(10)
  await describe('0')
  expect(reads).toBe(11)
})

test('content reader: a small manifest is described in full', async () => {
  const small = bytesOf({ schemaVersion: 2, config: CONFIG, layers: [CONFIG], annotations: { a: 'b' } })
  const brief = await reader.manifestBrief(row('3', small.length), () => small)
  expect(brief).toMatchObject({ truncated: false, annotations: { a: 'b' }, layerCount: 1 })
})

const pushOf = (bytes: Uint8Array<ArrayBuffer>) => ({
  repository: parseRepositoryName('a'),
  reference: { tag: undefined, digest: digest('4') },
  tags: [],
  contentType: MEDIA_TYPE.ociManifest,
  bytes,
  precondition: undefined,
})
const TAKEN = { push: true, unsigned: false }

test('content reader: a large push is read without blocking the serving thread, and its error is reported', async () => {
  const turns = await turnsDuring(async () => {
    const { manifest } = await reader.readPushed(pushOf(LARGE), TAKEN)
    expect(manifest.references.map(({ digest }) => digest)).toEqual([CONFIG.digest])
  })
  expect(turns).toBeGreaterThan(TURNS_MIN)
  const many = bytesOf({ ...JSON.parse(new TextDecoder().decode(LARGE)), more: Array(50_000).fill(0) })
  expect(await failureOf(reader.readPushed(pushOf(many), TAKEN))).toMatchObject({ status: 400 })
  const broken = LARGE.slice(0, LARGE.length - 1)
  expect(await failureOf(reader.readPushed(pushOf(broken), TAKEN))).toMatchObject({ status: 400 })
})

const NAME = { name: parseRepositoryName('a'), tag: parseTag('1') }

/** A thread whose questions are answered by the test. */
function slowThread() {
  const asked: { question: ReadingQuestion; resolve: (value: unknown) => void }[] = []
  const startThread = (): ReadingThread => {
    const { promise: stopped, reject } = Promise.withResolvers<never>()
    stopped.catch(() => {})
    return {
      ask<T>(question: ReadingQuestion): Promise<T> {
        const { promise, resolve } = Promise.withResolvers<unknown>()
        asked.push({ question, resolve })
        return Promise.race([promise as Promise<T>, stopped])
      },
      stop: async () => reject(new Error('stopped')),
    }
  }
  return { asked, startThread }
}

test('content reader: a question that takes too long fails alone, and the next one gets a new thread', async () => {
  const hanging = slowThread()
  const startThread = (): ReadingThread =>
    hanging.asked.length === 0
      ? hanging.startThread()
      : { ask: async <T>() => 'answered' as T, stop: async () => {} }
  const slow = new ContentReader({ answerSecondsMax: 0.05, startThread })
  const first = failureOf(slow.manifestBrief(row('5', LARGE.length), () => LARGE))
  const second = slow.manifestBrief(row('6', LARGE.length), () => LARGE)
  expect(await first).toMatchObject({ message: 'stopped' })
  expect(await second).toBe('answered' as never)
  expect(hanging.asked).toHaveLength(1)
})

test('content reader: its thread ends when it has been idle, and the next question gets a new one', async () => {
  const stopped: number[] = []
  let started = 0
  const startThread = (): ReadingThread => {
    const thread = ++started
    return { ask: async <T>() => thread as T, stop: async () => void stopped.push(thread) }
  }
  const idle = new ContentReader({ idleSecondsMax: 0.05, startThread })
  const ask = () => idle.convert(NAME, [], LARGE)
  expect(await Promise.all([ask(), ask()])).toEqual([1, 1] as never)
  await until(() => stopped.length === 1)
  expect(await ask()).toBe(2 as never)
  await idle.stop()
  expect(stopped).toEqual([1, 2])
})

test('content reader: a push is read before the descriptions that wait, and not refused because of them', async () => {
  const { asked, startThread } = slowThread()
  const slow = new ContentReader({ startThread })
  const describe = () => slow.imageBrief(digest('0'), LARGE)
  const one = slow.convert(NAME, [], LARGE)
  const others = Array.from({ length: 64 }, () => slow.convert(NAME, [], LARGE))
  expect(await failureOf(describe())).toMatchObject({ status: 503 })
  const push = slow.readPushed(pushOf(LARGE), TAKEN)
  asked[0]?.resolve('first')
  expect(await one).toBe('first' as never)
  await until(() => asked.length === 2)
  expect(asked[1]?.question.do).toBe('readPushed')
  asked[1]?.resolve('pushed')
  expect(await push).toBe('pushed' as never)
  const ended = Promise.allSettled(others)
  await slow.stop()
  expect((await ended).every(({ status }) => status === 'rejected')).toBe(true)
})
