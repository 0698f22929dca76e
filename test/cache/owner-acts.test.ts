import { describe, expect, test } from 'bun:test'
import { startCache, type TestCache } from '../support/cache.ts'
import { until } from '../support/until.ts'

const REPOSITORY = 'up.example/library/app'
const PATH = `/api/v1/repositories/${encodeURIComponent(REPOSITORY)}`

function call(cache: TestCache, method: string, path: string, body?: unknown): Promise<Response> {
  const headers = { 'content-type': 'application/json' }
  return cache.server.fetch(path, {
    method,
    ...(body !== undefined && { headers, body: JSON.stringify(body) }),
  })
}

/** A cache that holds one image under the tag 1. */
async function startFilled() {
  const cache = await startCache()
  const image = cache.fake.putImage('library/app', '1')
  await cache.get('manifests/1')
  await (await cache.get(`blobs/${image.layer.digest}`)).bytes()
  await until(
    async () =>
      ((await (await cache.server.fetch('/api/v1/cache')).json()) as { downloadCount: number })
        .downloadCount === 0,
  )
  return { cache, ...image, [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose]() }
}

describe('cache: a cached repository refuses', () => {
  const at = new Date(0).toISOString()
  const acts: [what: string, method: string, suffix: string, body: unknown][] = [
    ['immutable tags', 'PATCH', '', { immutableTags: ['*'] }],
    ['days for untagged manifests', 'PATCH', '', { untaggedDays: 3 }],
    ['immutable tags when it is replaced', 'PUT', '', { immutableTags: ['*'] }],
    ['being restored', 'POST', '/restore', {}],
    ['a rewind', 'POST', '/rewind', { at }],
    ['a restored tag', 'POST', '/tags/1/restore', { at }],
    ['a tag that is put', 'PUT', '/tags/2', { digest: `sha256:${'0'.repeat(64)}` }],
    ['a restored manifest', 'POST', `/manifests/sha256:${'0'.repeat(64)}/restore`, undefined],
  ]
  test.each(acts)('%s, in words', async (_, method, suffix, body) => {
    await using filled = await startFilled()
    const response = await call(filled.cache, method, PATH + suffix, body)
    expect(response.status).toBe(400)
    expect(await response.text()).toContain('is cached from up.example')
  })

  test('being created before the first pull, because the next start would be refused', async () => {
    await using cache = await startCache()
    expect((await call(cache, 'PUT', PATH, {})).status).toBe(400)
    await cache.restart()
  })
})

test('cache: a cached repository can have a description', async () => {
  await using filled = await startFilled()
  expect((await call(filled.cache, 'PATCH', PATH, { description: 'from up' })).status).toBe(200)
  const response = await filled.cache.server.fetch(PATH)
  expect(await response.json()).toMatchObject({ description: 'from up' })
})

describe('cache: content that is deleted from a cached repository is evicted at once:', () => {
  const cached = async ({ server }: TestCache) => (await server.fetch('/api/v1/cache')).json()
  const empty = { bytes: 0, blobCount: 0, manifestCount: 0 }

  test('all of it', async () => {
    await using filled = await startFilled()
    const { cache, layer } = filled
    expect((await call(cache, 'DELETE', PATH)).status).toBe(204)
    expect(await cached(cache)).toMatchObject(empty)
    expect((await cache.server.fetch(PATH)).status).toBe(404)
    const asked = cache.fake.log.length
    expect((await cache.get('manifests/1')).status).toBe(200)
    expect(Buffer.from(await (await cache.get(`blobs/${layer.digest}`)).bytes()).equals(layer.bytes)).toBe(
      true,
    )
    expect(cache.fake.log.length).toBeGreaterThan(asked)
  })

  test('its last manifest', async () => {
    await using filled = await startFilled()
    const { cache, manifest } = filled
    expect((await call(cache, 'DELETE', `${PATH}/manifests/${manifest.digest}`)).status).toBe(204)
    expect(await cached(cache)).toMatchObject(empty)
  })

  test('the last tag of a manifest, with the manifest', async () => {
    await using filled = await startFilled()
    const { cache } = filled
    expect((await call(cache, 'DELETE', `${PATH}/tags/1`)).status).toBe(204)
    expect(await cached(cache)).toMatchObject(empty)
  })

  test('one tag of two, without the manifest', async () => {
    await using filled = await startFilled()
    const { cache, manifest } = filled
    cache.fake.putManifest('library/app', '2', manifest)
    await cache.get('manifests/2')
    expect((await call(cache, 'DELETE', `${PATH}/tags/1`)).status).toBe(204)
    expect(await cached(cache)).toMatchObject({ manifestCount: 1 })
  })
})
