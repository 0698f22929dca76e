import { describe, expect, test } from 'bun:test'
import { startCache, type TestCache } from '../support/cache.ts'
import { digestOf, EMPTY, imageManifest, type Named } from '../support/content.ts'
import { pushBlob, pushImage } from '../support/push.ts'
import { until } from '../support/until.ts'
import { head } from '../support/upstream.ts'

const REPOSITORY = 'up.example/library/app'
const PATH = `/api/v1/repositories/${encodeURIComponent(REPOSITORY)}`

const post = (cache: TestCache, path: string, body: unknown) =>
  cache.server.fetch(`/api/v1/cache/${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })

/** Lets the next check of a tag wait until the test resolves the returned promise. */
function holdCheck(cache: TestCache) {
  const gate = Promise.withResolvers<void>()
  cache.fake.on(/^HEAD .*manifests/, (request) => [gate.promise, ...cache.fake.answer(request)], 1)
  return gate
}

/** Lets the download of a blob wait in the middle until the test resolves the returned promise. */
function holdDownload(cache: TestCache, { digest, bytes }: Named) {
  const gate = Promise.withResolvers<void>()
  const [half, start] = [bytes.length / 2, head(200, { 'content-length': String(bytes.length) })]
  const steps = [start, bytes.subarray(0, half), gate.promise, bytes.subarray(half)]
  cache.fake.on(new RegExp(`^GET .*blobs/${digest}`), steps, 1)
  return gate
}

const isWhole = async (response: Response, { digest }: Named) =>
  response.status === 200 && digestOf(await response.bytes()) === digest

describe('cache: a tag that is evicted while it is checked', () => {
  /** An image that was cached a while ago. */
  async function startStale() {
    let now = Date.UTC(2026, 0, 1)
    const cache = await startCache({ now: () => now })
    const image = cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    now += 700_000
    return { cache, ...image, [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose]() }
  }

  const asks: [what: string, ask: (cache: TestCache) => Promise<Response>][] = [
    ['by a pull', (cache) => cache.get('manifests/1')],
    ['by a refresh', (cache) => post(cache, 'refresh', { repository: REPOSITORY, tag: '1' })],
  ]
  for (const [what, ask] of asks) {
    for (const reference of ['1', 'digest']) {
      test(`${what}, ${reference === '1' ? 'alone' : 'with its manifest'}, is fetched again`, async () => {
        await using stale = await startStale()
        const { cache, manifest } = stale
        const gate = holdCheck(cache)
        const asked = ask(cache)
        await until(() => cache.fake.requests(/^HEAD .*manifests/).length === 1)
        const evict = { repository: REPOSITORY, reference: reference === '1' ? '1' : manifest.digest }
        expect((await post(cache, 'evict', evict)).status).toBe(204)
        gate.resolve()
        const response = await asked
        expect([response.status, await response.text()]).toEqual([200, expect.any(String)])
        expect((await cache.get('manifests/1')).headers.get('docker-content-digest')).toBe(manifest.digest)
      })
    }
  }
})

describe('cache: an image that is evicted while a layer of it is downloaded', () => {
  const evictions: [what: string, evict: (cache: TestCache, manifest: Named) => Promise<Response>][] = [
    ['alone', (cache, { digest }) => post(cache, 'evict', { repository: REPOSITORY, reference: digest })],
    ['with its repository', (cache) => cache.server.fetch(PATH, { method: 'DELETE' })],
  ]
  test.each(evictions)('%s, reaches all clients whole, and can be pulled again', async (_, evict) => {
    await using cache = await startCache()
    const { manifest, layer } = cache.fake.putImage('library/app', '1', [400_000])
    await cache.get('manifests/1')
    const gate = holdDownload(cache, layer)
    const first = await cache.get(`blobs/${layer.digest}`)
    const follower = await cache.get(`blobs/${layer.digest}`)
    expect((await evict(cache, manifest)).status).toBe(204)
    gate.resolve()
    expect(await Promise.all([isWhole(first, layer), isWhole(follower, layer)])).toEqual([true, true])
    expect(await isWhole(await cache.get('manifests/1'), manifest)).toBe(true)
    expect(await isWhole(await cache.get(`blobs/${layer.digest}`), layer)).toBe(true)
    expect(cache.fake.requests(new RegExp(`^GET .*blobs/${layer.digest}`))).toHaveLength(1)
  })
})

describe('cache: evicting a cached blob', () => {
  async function startCached() {
    const cache = await startCache()
    const image = cache.fake.putImage('library/app', '1', [200_000])
    const stored = Bun.file(
      `${cache.server.data}/blobs/sha256/${image.layer.digest.slice(7, 9)}/${image.layer.digest.slice(7)}`,
    )
    const pull = async () => {
      await cache.get('manifests/1')
      await (await cache.get(`blobs/${image.layer.digest}`)).bytes()
      await until(async () => (await cache.get(`blobs/${image.layer.digest}`)).headers.has('content-length'))
    }
    const evict = () => cache.server.fetch(PATH, { method: 'DELETE' })
    const mount = () =>
      cache.server.fetch(`/v2/mine/blobs/uploads/?mount=${image.layer.digest}&from=${REPOSITORY}`, {
        method: 'POST',
      })
    await pull()
    return {
      cache,
      ...image,
      stored,
      pull,
      evict,
      mount,
      [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose](),
    }
  }

  test('that was mounted into a local repository leaves it there', async () => {
    await using cached = await startCached()
    const { cache, layer, stored, mount, evict } = cached
    expect((await mount()).status).toBe(201)
    expect((await evict()).status).toBe(204)
    expect(await isWhole(await cache.server.fetch(`/v2/mine/blobs/${layer.digest}`), layer)).toBe(true)
    expect(await stored.exists()).toBe(true)
  })

  test('that is mounted at the same time leaves it there, or the mount is refused', async () => {
    await using cached = await startCached()
    const { cache, layer, pull, mount, evict } = cached
    const path = `/v2/mine/blobs/${layer.digest}`
    for (let round = 0; round < 6; round++) {
      const both = round % 2 === 0 ? [mount(), evict()] : [evict(), mount()]
      const answers = await Promise.all(both)
      const { status } = answers[round % 2]!
      expect([201, 202]).toContain(status)
      const response = await cache.server.fetch(path)
      expect(await isWhole(response, layer)).toBe(status === 201)
      if (status === 201) await cache.server.fetch(path, { method: 'DELETE' })
      await pull()
    }
  })

  test('that is pushed at the same time leaves what was pushed', async () => {
    await using cached = await startCached()
    const { cache, layer, pull, evict } = cached
    for (let round = 0; round < 6; round++) {
      const push = pushBlob(cache.server, `mine-${round}`, layer)
      expect((await evict()).status).toBe(204)
      await push
      expect(await isWhole(await cache.server.fetch(`/v2/mine-${round}/blobs/${layer.digest}`), layer)).toBe(
        true,
      )
      await cache.server.fetch(`/v2/mine-${round}/blobs/${layer.digest}`, { method: 'DELETE' })
      await pull()
    }
  })

  test('with its image leaves a local image with the same layer', async () => {
    await using cached = await startCached()
    const { cache, layer, evict } = cached
    const mine = await pushImage(cache.server, 'mine', imageManifest(EMPTY, [layer]), [layer], {
      reference: '1',
    })
    expect((await evict()).status).toBe(204)
    expect(await isWhole(await cache.server.fetch('/v2/mine/manifests/1'), mine)).toBe(true)
    expect(await isWhole(await cache.server.fetch(`/v2/mine/blobs/${layer.digest}`), layer)).toBe(true)
  })
})
