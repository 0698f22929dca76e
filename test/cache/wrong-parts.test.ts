import { expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { head } from '../support/upstream.ts'

test('cache: a wrong partial file of an earlier process costs no client its blob', async () => {
  await using cache = await startCache({ cache: 'first-byte-seconds-max = 2' })
  const [blob, other] = [randomBlob(40_000), randomBlob(40_000)]
  cache.fake.putBlob('library/app', blob)
  const gate = Promise.withResolvers<void>()
  cache.fake.on(
    /^GET .*blobs/,
    () => [head(200, { 'content-length': '40000' }), other.bytes.subarray(0, 20_000), gate.promise],
    1,
  )
  expect((await cache.get(`blobs/${blob.digest}`)).status).toBe(504)
  await cache.restart()
  const response = await cache.get(`blobs/${blob.digest}`)
  expect(response.status).toBe(200)
  expect(Buffer.from(await response.bytes()).equals(blob.bytes)).toBe(true)
  const ranges = cache.fake.requests(/^GET .*blobs/).map(({ headers }) => headers.range)
  expect(ranges).toEqual([undefined, 'bytes=20000-', undefined])
  gate.resolve()
})

test('cache: an upstream that always sends different content in ranges is not asked forever, and gives 502', async () => {
  await using cache = await startCache()
  const [blob, other] = [randomBlob(40_000), randomBlob(40_000)]
  cache.fake.putBlob('library/app', blob)
  cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': '40000' }), other.bytes])
  cache.fake.on(
    /^GET .*blobs/,
    () => [head(200, { 'content-length': '40000' }), other.bytes.subarray(0, 9), 'fin'],
    1,
  )
  expect((await cache.get(`blobs/${blob.digest}`)).status).toBe(502)
  expect(cache.fake.requests(/^GET .*blobs/).length).toBeLessThanOrEqual(3)
})
