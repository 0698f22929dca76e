import { expect } from 'bun:test'
import { type CacheOptions, startCache } from './cache.ts'
import type { Named } from './content.ts'
import { until } from './until.ts'

/** A cache of 1,000,000 bytes, on a clock that advances by a minute with each pull. */
export async function startSmall(options: CacheOptions = {}) {
  let now = Date.UTC(2026, 0, 1)
  const cache = await startCache({ cache: 'bytes-max = 1_000_000', ...options, now: () => now })
  const stored = (digest: string) =>
    Bun.file(`${cache.server.data}/blobs/sha256/${digest.slice(7, 9)}/${digest.slice(7)}`)
  /** Pulls an image, and waits until its large blobs are stored, for which clients do not wait. */
  const pull = async (reference: string, { isStored = true, repository = 'library/app' } = {}) => {
    now += 60_000
    const get = (suffix: string) => cache.server.fetch(`/v2/up.example/${repository}/${suffix}`)
    /** Only a body that is still being fetched has no Content-Length. */
    const isServedFromDisk = async (digest: string) => {
      const response = await get(`blobs/${digest}`)
      await response.bytes()
      return response.headers.has('content-length')
    }
    const manifest = await get(`manifests/${reference}`)
    expect(manifest.status).toBe(200)
    const { config, layers } = (await manifest.json()) as { config: Named; layers: Named[] }
    for (const { digest } of [config, ...layers]) {
      const response = await get(`blobs/${digest}`)
      expect(response.status).toBe(200)
      const bytes = await response.bytes()
      expect(`sha256:${new Bun.CryptoHasher('sha256').update(bytes).digest('hex')}`).toBe(digest)
      if (isStored) await until(() => isServedFromDisk(digest))
    }
  }
  /** The layers that were fetched since the last look. */
  const fetched = () => cache.fake.requests(/^GET .*blobs/).length
  const pass = (milliseconds: number) => {
    now += milliseconds
  }
  return { cache, pull, pass, stored, fetched, [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose]() }
}
