import { describe, expect, test } from 'bun:test'
import { startCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { startFullListener } from '../support/full-listener.ts'
import { FakeUpstream } from '../support/upstream.ts'

const LIMITS = 'connect-seconds-max = 1\nfirst-byte-seconds-max = 10'

/** An unreachable upstream: its URL, and the status of content that is not cached. */
const UNREACHABLE: [name: string, start: () => Promise<{ url: string } & Disposable>, status: number][] = [
  ['whose name is not found', async () => ({ url: 'http://registry.invalid', [Symbol.dispose]() {} }), 503],
]
// Only on Linux is a connect known to hang when the listener's queue is full.
if (process.platform === 'linux') UNREACHABLE.push(['where a connect hangs', startFullListener, 504])

describe('cache: an upstream', () => {
  test.each(UNREACHABLE)(
    '%s gives an error with Retry-After without a cached copy',
    async (_, start, status) => {
      using unreachable = await start()
      await using cache = await startCache({ url: unreachable.url, cache: LIMITS })
      const began = performance.now()
      const asked = ['manifests/1', `blobs/${randomBlob(9).digest}`, 'tags/list']
      for (const response of await Promise.all(asked.map((suffix) => cache.get(suffix)))) {
        expect([response.status, response.headers.has('retry-after')]).toEqual([status, true])
      }
      expect(performance.now() - began).toBeLessThan(8000)
    },
    20_000,
  )

  test.each(UNREACHABLE)(
    '%s gives the cached copy, with a Warning',
    async (_, start) => {
      using unreachable = await start()
      let now = Date.UTC(2026, 0, 1)
      await using cache = await startCache({ cache: LIMITS, now: () => now })
      const { manifest } = cache.fake.putImage('library/app', '1')
      await cache.get('manifests/1')
      now += 10_000_000
      await cache.restart({ url: unreachable.url })
      const response = await cache.get('manifests/1')
      expect(response.status).toBe(200)
      expect(response.headers.get('docker-content-digest')).toBe(manifest.digest)
      expect((await cache.get(`manifests/${manifest.digest}`)).status).toBe(200)
      for (;;) {
        const later = await cache.get('manifests/1')
        expect(later.status).toBe(200)
        if (later.headers.get('warning')?.includes('does not answer')) break
      }
    },
    20_000,
  )

  test.each(UNREACHABLE)(
    '%s is replaced by its mirror',
    async (_, start) => {
      using unreachable = await start()
      await using mirror = await FakeUpstream.start()
      mirror.putImage('library/app', '1')
      await using cache = await startCache({
        url: unreachable.url,
        upstream: `mirrors = ["${mirror.url}"]`,
        cache: LIMITS,
      })
      expect((await cache.get('manifests/1')).status).toBe(200)
    },
    20_000,
  )
})
