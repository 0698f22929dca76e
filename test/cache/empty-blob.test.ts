import { expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { named, randomBlob } from '../support/content.ts'
import { head } from '../support/upstream.ts'

const nothing = named('')

test.each([
  ['there is no room', 'free-bytes-min = 1_000_000_000_000_000'],
  ['there is room', ''],
])('cache: if %s, only the digest of nothing has an empty blob', async (_, settings) => {
  await using cache = await startCache({ cache: settings })
  cache.fake.putBlob('library/app', nothing)
  const empty = await cache.get(`blobs/${nothing.digest}`)
  expect([empty.status, (await empty.bytes()).length]).toEqual([200, 0])
  cache.fake.on(/blobs/, () => [head(200, { 'content-length': '0' })])
  for (const method of ['HEAD', 'GET']) {
    const wrong = await cache.get(`blobs/${randomBlob(1000).digest}`, { method })
    expect(wrong.status).toBe(502)
  }
})
