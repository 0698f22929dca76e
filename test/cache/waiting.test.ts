import { expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { until } from '../support/until.ts'
import { head } from '../support/upstream.ts'

test('cache: abandoned requests for blobs can fill only a bounded queue, and the next client is told to retry', async () => {
  await using cache = await startCache({ cache: 'fills-max = 1' })
  const size = String(1024 ** 2)
  cache.fake.on(/^HEAD .*blobs/, () => [head(200, { 'content-length': size }), 'keep'])
  cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': size }), new Promise(() => {})])
  const fills = async () => {
    const response = await cache.server.fetch('/api/v1/cache/downloads')
    return ((await response.json()) as { items: unknown[] }).items.length
  }
  const clients = new AbortController()
  const { signal } = clients
  for (let count = 1; count <= 17; count++) {
    void cache.get(`blobs/${randomBlob(8).digest}`, { signal }).catch(() => {})
    await until(async () => (await fills()) === count)
  }
  clients.abort()
  const refused = await cache.get(`blobs/${randomBlob(8).digest}`)
  expect(refused.status).toBe(503)
  expect(refused.headers.get('retry-after')).not.toBeNull()
  expect(await fills()).toBe(17)
})
