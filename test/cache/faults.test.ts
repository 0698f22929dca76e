import { describe, expect, test } from 'bun:test'
import { startCache, type TestCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { type Answer, FakeUpstream, head, reply, type Step } from '../support/upstream.ts'

const SIZE = 400_000
const blob = randomBlob(SIZE)
const other = randomBlob(SIZE)
const never = () => new Promise(() => {})
const chunk = (bytes: Uint8Array): Step[] => [`${bytes.length.toString(16)}\r\n`, bytes, '\r\n']
const chunked = head(200, { 'transfer-encoding': 'chunked' })
const half = blob.bytes.subarray(0, SIZE / 2)

/** Faults of an upstream after which cay retries. */
const ONCE: [name: string, answer: Answer][] = [
  ['closes after the headers', () => [head(200, { 'content-length': String(SIZE) }), 'fin']],
  ['closes in the body', () => [head(200, { 'content-length': String(SIZE) }), half, 'fin']],
  ['resets in the body', () => [head(200, { 'content-length': String(SIZE) }), half, 'reset']],
  ['omits the last chunk', () => [chunked, ...chunk(half), 'fin']],
  ['ends a chunked body too early', () => [chunked, ...chunk(half), '0\r\n\r\n']],
  ['stalls in the body', () => [head(200, { 'content-length': String(SIZE) }), half, never()]],
  ['resets at once', () => ['reset']],
  ['responds with 500', () => reply(500, {}, 'sorry')],
  ['responds with 503', () => reply(503, { 'retry-after': '1' }, 'sorry')],
]

/** Faults that are refused: the client must never get a complete body. */
const ALWAYS: [name: string, answer: Answer, expected: number | 'cut'][] = [
  ['sends different bytes', () => reply(200, {}, other.bytes), 'cut'],
  [
    'sends a body that is longer than it says',
    () => [chunked, ...chunk(blob.bytes), ...chunk(half), '0\r\n\r\n'],
    'cut',
  ],
  ['sends less than the manifest says', () => reply(200, {}, half), 502],
  ['sends a web page instead of the blob', () => reply(200, { 'content-type': 'text/html' }, '<html>'), 502],
  ['says 404', () => reply(404, {}, ''), 404],
  ['says 401', () => reply(401, { 'www-authenticate': 'Basic' }, ''), 403],
  ['says 403', () => reply(403, {}, ''), 403],
  ['says 429', () => reply(429, { 'retry-after': '9' }, ''), 429],
  ['responds with 429 without Retry-After', () => reply(429, {}, ''), 429],
  ['always fails', () => reply(500, {}, ''), 503],
  ['redirects to a metadata service', () => reply(307, { location: 'http://169.254.169.254/' }, ''), 502],
  ['redirects forever', (request) => reply(307, { location: request.path }, ''), 502],
]

async function start(): Promise<TestCache> {
  const cache = await startCache({ cache: 'stall-seconds-max = 1\nfirst-byte-seconds-max = 4' })
  cache.fake.putBlob('library/app', blob)
  return cache
}

/** Returns the complete body, or undefined if the connection was cut. */
async function receive(response: Response): Promise<Uint8Array | undefined> {
  return await response.bytes().catch(() => undefined)
}

describe('cache: a blob is served correctly when the upstream once', () => {
  test.each(ONCE)('%s', async (_, answer) => {
    await using cache = await start()
    cache.fake.on(/^GET .*blobs/, answer, 1)
    const response = await cache.get(`blobs/${blob.digest}`)
    expect(response.status).toBe(200)
    const received = await receive(response)
    expect(Buffer.from(received ?? []).equals(blob.bytes)).toBe(true)
  })
})

describe('cache: no client completes a wrong blob when the upstream', () => {
  test.each(ALWAYS)('%s', async (_, answer, expected) => {
    await using cache = await start()
    cache.fake.on(/^GET .*blobs/, answer)
    const clients = await Promise.all(
      [0, 1, 2].map(() => cache.get(`blobs/${blob.digest}`).catch(() => undefined)),
    )
    for (const response of clients) {
      if (response === undefined) continue
      const { status } = response
      // A fault before the first byte gets an error status. A later one cuts the connection.
      expect(expected === 'cut' ? [200, 502] : [expected]).toContain(status)
      const received = await receive(response)
      if (status === 200) expect(received).toBeUndefined()
      if (status === 429) expect(response.headers.get('retry-after')).toMatch(/^\d+$/)
    }
    cache.fake.heal()
    // A 429 with Retry-After also holds for other blobs.
    const after = (await cache.get(`blobs/${randomBlob(10).digest}`)).status
    expect(expected === 429 ? [404, 429] : [404]).toContain(after)
  })

  test.each([
    ['a fault that has ended', ALWAYS[0]?.[1]],
    ['a body that was too long', ALWAYS[1]?.[1]],
  ])('and after %s the next client gets it right', async (_, answer) => {
    await using cache = await start()
    cache.fake.on(/^GET .*blobs/, answer ?? [], 1)
    await cache.get(`blobs/${blob.digest}`).then(receive, () => undefined)
    const again = await receive(await cache.get(`blobs/${blob.digest}`))
    expect(Buffer.from(again ?? []).equals(blob.bytes)).toBe(true)
  })
})

describe('cache: the client gets a status in time when the upstream', () => {
  test.each([
    ['accepts and sends nothing', () => [never()]],
    ['sends headers and then nothing', () => [head(200, { 'content-length': String(SIZE) }), never()]],
  ] as [string, Answer][])('%s', async (_, answer) => {
    await using cache = await startCache({ cache: 'first-byte-seconds-max = 1' })
    cache.fake.putImage('library/app', '1')
    cache.fake.putBlob('library/app', blob)
    cache.fake.on(/^GET /, answer)
    const [manifest, body] = await Promise.all([cache.get('manifests/1'), cache.get(`blobs/${blob.digest}`)])
    expect([manifest.status, body.status]).toEqual([504, 504])
    expect(body.headers.get('retry-after')).not.toBeNull()
  })
})

test('cache: a range that begins at the wrong byte is never completed, and the next pull is correct', async () => {
  await using cache = await start()
  const rest = { 'content-range': `bytes 100-${SIZE - 1}/${SIZE}` }
  cache.fake.on(/^GET .*blobs/, () => reply(206, rest, blob.bytes.subarray(100)))
  cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': String(SIZE) }), half, 'reset'], 1)
  // The response is an error, or is cut, depending on whether the client has a byte by then.
  const response = await cache.get(`blobs/${blob.digest}`)
  if (response.status === 200) expect(await receive(response)).toBeUndefined()
  else expect(response.status).toBe(502)
  cache.fake.heal()
  const again = await receive(await cache.get(`blobs/${blob.digest}`))
  expect(Buffer.from(again ?? []).equals(blob.bytes)).toBe(true)
})

test('cache: a blob of a cached manifest needs no HEAD of the upstream', async () => {
  await using cache = await start()
  const { layer } = cache.fake.putImage('library/app', '1', [SIZE])
  cache.fake.on(/^HEAD/, () => reply(405, {}, '', true))
  await cache.get('manifests/1')
  const received = await receive(await cache.get(`blobs/${layer.digest}`))
  expect(Buffer.from(received ?? []).equals(layer.bytes)).toBe(true)
})

test('cache: when a redirect has expired, the rest of the blob is requested from the registry again', async () => {
  await using cache = await start()
  await using cdn = await FakeUpstream.start()
  let signature = 0
  cache.fake.on(/^GET .*blobs/, () => reply(307, { location: `${cdn.url}/blob?sig=${++signature}` }, ''))
  cdn.on(/sig=1/, () => [head(200, { 'content-length': String(SIZE) }), half, 'reset'])
  cdn.on(/sig=2/, () => reply(403, {}, 'expired'))
  cdn.content.set('/blob', { bytes: blob.bytes, headers: {} })
  const response = await cache.get(`blobs/${blob.digest}`)
  const received = await receive(response)
  if (received !== undefined) expect(Buffer.from(received).equals(blob.bytes)).toBe(true)
  const again = await receive(await cache.get(`blobs/${blob.digest}`))
  expect(Buffer.from(again ?? []).equals(blob.bytes)).toBe(true)
  expect(cdn.log.every(({ headers }) => headers.authorization === undefined)).toBe(true)
})

test('cache: an image for which the upstream hangs does not delay other images', async () => {
  await using cache = await start()
  const { layer } = cache.fake.putImage('library/other', '1', [SIZE])
  cache.fake.on(/^GET .*app\/blobs/, () => [never()])
  const hanging = Array.from({ length: 40 }, () => cache.get(`blobs/${randomBlob(8).digest}`))
  const response = await cache.server.fetch(`/v2/up.example/library/other/blobs/${layer.digest}`)
  expect(Buffer.from((await receive(response)) ?? []).equals(layer.bytes)).toBe(true)
  await Promise.all(hanging)
})
