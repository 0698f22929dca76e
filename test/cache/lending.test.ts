import { describe, expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { until } from '../support/until.ts'
import { head, reply } from '../support/upstream.ts'

/** A cache of two repositories whose images have the same layer. */
async function startShared(size: number) {
  const cache = await startCache()
  const layer = randomBlob(size)
  const image = imageManifest(EMPTY, [layer])
  for (const repository of ['library/app', 'library/other']) {
    cache.fake.putBlob(repository, layer)
    cache.fake.putManifest(repository, '1', image)
    await cache.server.fetch(`/v2/up.example/${repository}/manifests/1`)
  }
  const other = (method: string, digest = layer.digest) =>
    cache.server.fetch(`/v2/up.example/library/other/blobs/${digest}`, { method })
  return { cache, layer, other, [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose]() }
}

describe('cache: HEAD agrees with GET', () => {
  test.each([1000, 200_000])(
    'offline, about a blob of %d bytes that another repository of the upstream has',
    async (size) => {
      await using shared = await startShared(size)
      const { cache, layer, other } = shared
      const isStored = async () => {
        const response = await cache.get(`blobs/${layer.digest}`)
        await response.bytes()
        return response.headers.has('content-length')
      }
      await until(isStored)
      await cache.restart({ cache: 'offline = true' })
      const sent = await other('HEAD')
      expect([sent.status, sent.headers.get('content-length')]).toEqual([200, String(size)])
      expect(Buffer.from(await (await other('GET')).bytes()).equals(layer.bytes)).toBe(true)
      const absent = randomBlob(8).digest
      expect([(await other('HEAD', absent)).status, (await other('GET', absent)).status]).toEqual([503, 503])
    },
  )

  test('about a blob that is being downloaded for this repository or another one', async () => {
    await using shared = await startShared(200_000)
    const { cache, layer, other } = shared
    const gate = Promise.withResolvers<void>()
    const half = layer.bytes.subarray(0, 100_000)
    cache.fake.on(/^GET .*blobs/, [head(200, { 'content-length': '200000' }), half, gate.promise, 'fin'], 1)
    cache.fake.on(/^HEAD .*blobs/, reply(500, {}, '', true))
    const first = await cache.get(`blobs/${layer.digest}`)
    for (const sent of [await cache.get(`blobs/${layer.digest}`, { method: 'HEAD' }), await other('HEAD')]) {
      expect([sent.status, sent.headers.get('content-length')]).toEqual([200, '200000'])
    }
    gate.resolve()
    expect(Buffer.from(await first.bytes()).equals(layer.bytes)).toBe(true)
  })
})
