import { describe, expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { until } from '../support/until.ts'
import { FakeUpstream, head, reply } from '../support/upstream.ts'

const SIZE = 400_000
const blob = randomBlob(SIZE)
const half = blob.bytes.subarray(0, SIZE / 2)
const never = () => new Promise(() => {})

describe('cache: an upstream that is too slow is a 504 with Retry-After:', () => {
  test('a blob without a first byte', async () => {
    await using cache = await startCache({ cache: 'first-byte-seconds-max = 1' })
    cache.fake.putBlob('library/app', blob)
    cache.fake.on(/^GET /, () => [head(200, { 'content-length': String(SIZE) }), never()])
    const response = await cache.get(`blobs/${blob.digest}`)
    expect(response.status).toBe(504)
    expect(response.headers.get('retry-after')).not.toBeNull()
  })
})

describe('cache: a response that stalls, or takes too long in all, is a 504:', () => {
  const some = () => [head(200, { 'content-length': '4000' }), '{', never()]
  test.each(['stall-seconds-max = 1', 'manifest-seconds-max = 1'])('a manifest, by %s', async (limit) => {
    await using cache = await startCache({ cache: limit })
    cache.fake.on(/^GET .*manifests/, some)
    const response = await cache.get('manifests/1')
    expect(response.status).toBe(504)
    expect(response.headers.get('retry-after')).not.toBeNull()
  })

  test.each(['stall-seconds-max = 1', 'manifest-seconds-max = 1', 'first-byte-seconds-max = 2'])(
    'a token, by %s',
    async (limit) => {
      await using tokens = await FakeUpstream.start()
      tokens.on(/./, limit.startsWith('first') ? () => [never()] : some)
      await using cache = await startCache({ cache: limit })
      cache.fake.on(/manifests/, () =>
        reply(401, { 'www-authenticate': `Bearer realm="${tokens.url}/token",service="up"` }, ''),
      )
      expect((await cache.get('manifests/1')).status).toBe(504)
      expect(tokens.log).toHaveLength(1)
    },
  )
})

test('cache: a download beyond its total time limit is aborted, and the next pull resumes it', async () => {
  await using cache = await startCache({ cache: 'total-seconds-max = 1' })
  cache.fake.putBlob('library/app', blob)
  cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': String(SIZE) }), half, never()], 1)
  const response = await cache.get(`blobs/${blob.digest}`)
  expect(await response.bytes().catch(() => 'cut')).toBe('cut')
  await until(() => cache.server.log().some(({ msg }) => String(msg).includes('could not be fetched')))
  const again = await (await cache.get(`blobs/${blob.digest}`)).bytes()
  expect(Buffer.from(again).equals(blob.bytes)).toBe(true)
  expect(cache.fake.requests(/^GET .*blobs/).at(-1)?.headers.range).toBe(`bytes=${SIZE / 2}-`)
})

describe('cache: a range of wrong content is never completed', () => {
  const other = randomBlob(SIZE)
  test.each([
    ['that is stored', ''],
    ['that does not fit into the cache', 'bytes-max = 1000'],
  ])('%s', async (_, settings) => {
    await using cache = await startCache({ cache: settings })
    cache.fake.putBlob('library/app', blob)
    cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': String(SIZE) }), other.bytes])
    const response = await cache
      .get(`blobs/${blob.digest}`, { headers: { range: 'bytes=1000-200000' } })
      .catch(() => undefined)
    if (response?.status === 206) expect(await response.bytes().catch(() => 'cut')).toBe('cut')
    else expect(response?.status ?? 502).toBe(502)
  })

  test('and a range of correct content is complete', async () => {
    for (const settings of ['', 'bytes-max = 1000']) {
      await using cache = await startCache({ cache: settings })
      cache.fake.putBlob('library/app', blob)
      const response = await cache.get(`blobs/${blob.digest}`, { headers: { range: 'bytes=1000-200000' } })
      expect(response.status).toBe(206)
      expect(Buffer.from(await response.bytes()).equals(blob.bytes.subarray(1000, 200_001))).toBe(true)
    }
  })
})
