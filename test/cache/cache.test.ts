import { describe, expect, test } from 'bun:test'
import { type CacheOptions, startCache } from '../support/cache.ts'
import { until } from '../support/until.ts'
import { reply } from '../support/upstream.ts'

const REPOSITORY = 'up.example/library/app'

test('cache: content is listed, explained and evicted', async () => {
  await using cache = await startCache({ upstream: 'username = "me"\npassword = "a secret"' })
  const { server, fake } = cache
  const { manifest, layer } = fake.putImage('library/app', '1', [100_000])
  const get = async (path: string) => {
    const response = await server.fetch(`/api/v1${path}`)
    expect(response.status).toBe(200)
    return (await response.json()) as Record<string, unknown>
  }
  const post = (path: string, body: unknown) =>
    server.fetch(`/api/v1${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
  const explain = () => get(`/cache/explain?repository=${encodeURIComponent(REPOSITORY)}&reference=1`)
  expect(await explain()).toMatchObject({ state: 'absent' })
  await cache.get('manifests/1')
  await (await cache.get(`blobs/${layer.digest}`)).bytes()
  expect(await get('/cache/tags')).toMatchObject({
    items: [{ repository: REPOSITORY, tag: '1', digest: manifest.digest, fresh: true }],
  })
  expect(await explain()).toMatchObject({ state: 'fresh' })
  const second = fake.putImage('library/app', '1')
  const refreshed = await post('/cache/refresh', { repository: REPOSITORY, tag: '1' })
  expect(await refreshed.json()).toEqual({ digest: second.manifest.digest })
  expect((await post('/cache/evict', { repository: REPOSITORY, reference: '1' })).status).toBe(204)
  expect(await explain()).toMatchObject({
    state: 'absent',
    explanation: expect.stringContaining('was evicted at'),
  })
  expect((await post('/cache/evict', { repository: 'mine', reference: '1' })).status).toBe(404)
  expect(await get('/cache')).toMatchObject({ manifestCount: 1 })
  await until(async () => ((await get('/cache/downloads')).items as unknown[]).length === 0)
  const audit = JSON.stringify(await get('/audit'))
  for (const action of ['cache.evict', 'cache.refresh']) expect(audit).toContain(action)
  fake.on(/manifests/, () => reply(404, {}, ''))
  const gone = await post('/cache/refresh', { repository: REPOSITORY, tag: '1' })
  expect([gone.status, await gone.text()]).toEqual([
    404,
    expect.stringContaining(`${REPOSITORY}:1 cannot be checked: `),
  ])
})

test('cache: an eviction is explained after its repository was removed with its last content', async () => {
  await using cache = await startCache()
  const { manifest } = cache.fake.putImage('library/app', '1')
  const explain = async (reference: string) => {
    const query = `repository=${encodeURIComponent(REPOSITORY)}&reference=${encodeURIComponent(reference)}`
    const response = await cache.server.fetch(`/api/v1/cache/explain?${query}`)
    return ((await response.json()) as { explanation: string }).explanation
  }
  await cache.get('manifests/1')
  const evicted = await cache.server.fetch('/api/v1/cache/evict', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ repository: REPOSITORY, reference: manifest.digest }),
  })
  expect(evicted.status).toBe(204)
  const usage = await cache.server.fetch(`/api/v1/repositories/${encodeURIComponent(REPOSITORY)}`)
  expect(usage.status).toBe(404)
  expect(await explain('1')).toContain('the last content of its repository was evicted at')
  expect(await explain(manifest.digest)).toContain('it was evicted at')
  expect(await explain(`sha256:${'0'.repeat(64)}`)).toContain('it was never pulled, or was evicted')
})

test('upstreams: each is shown with its state, and never with a secret', async () => {
  await using cache = await startCache({ upstream: 'username = "me"\npassword = "a-secret"' })
  const { server, fake } = cache
  const text = async (path: string, method = 'GET') =>
    await (await server.fetch(`/api/v1${path}`, { method })).text()
  const listed = await text('/upstreams')
  expect(JSON.parse(listed).items).toMatchObject([{ name: 'up.example', state: 'up', credentialsSet: true }])
  expect(JSON.parse(await text('/upstreams/up.example/check', 'POST'))).toMatchObject({ reachable: true })
  fake.on(/GET \/v2\//, () => reply(401, { 'www-authenticate': 'Basic' }, ''))
  expect(JSON.parse(await text('/upstreams/up.example/check', 'POST'))).toMatchObject({ reachable: false })
  expect((await server.fetch('/api/v1/upstreams/other')).status).toBe(404)
  const shown = listed + (await text('/server')) + JSON.stringify(server.log())
  expect(shown).not.toContain('a-secret')
})

test('cache: hits, and the bytes that they save, are counted', async () => {
  await using cache = await startCache()
  const { layer } = cache.fake.putImage('library/app', '1', [100_000])
  const show = async () =>
    (await (await cache.server.fetch('/api/v1/cache')).json()) as Record<string, number>
  expect(await show()).toMatchObject({ requestCount: 0, hitCount: 0, hitBytes: 0, downloadedBytes: 0 })
  const pull = async (headers = {}) => {
    await cache.get('manifests/1')
    await (await cache.get(`blobs/${layer.digest}`, { headers })).bytes()
  }
  await pull()
  await until(async () => (await show()).downloadCount === 0)
  const filled = await show()
  expect(filled).toMatchObject({ requestCount: 2, hitCount: 0, hitBytes: 0 })
  expect(filled.downloadedBytes).toBeGreaterThanOrEqual(100_000)
  await pull()
  await pull({ range: 'bytes=0-9' })
  expect(await show()).toMatchObject({ ...filled, requestCount: 6, hitCount: 4, hitBytes: 100_010 })
})

test('cache: metrics count hits and misses', async () => {
  await using cache = await startCache({ settings: { 'metrics.access': 'anonymous' } })
  cache.fake.putImage('library/app', '1')
  await cache.get('manifests/1')
  await cache.get('manifests/1')
  const metrics = await (await cache.server.fetch('/metrics')).text()
  for (const line of [
    'cay_cache_requests_total{upstream="up.example",result="miss"} 1',
    'cay_cache_requests_total{upstream="up.example",result="hit"} 1',
    'cay_upstream_requests_total{upstream="up.example",kind="manifest",result="ok"} 1',
    'cay_upstream_up{upstream="up.example"} 1',
    'cay_cache_fills 0',
  ]) {
    expect(metrics).toContain(line)
  }
})

describe('cache explain', () => {
  const start = async (options: CacheOptions = {}) => {
    const clock = { now: Date.UTC(2026, 0, 1) }
    const cache = await startCache({ ...options, now: () => clock.now })
    cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    const explain = async (reference = '1') => {
      const query = new URLSearchParams({ repository: REPOSITORY, reference })
      const response = await cache.server.fetch(`/api/v1/cache/explain?${query}`)
      return ((await response.json()) as { explanation: string }).explanation
    }
    return { cache, clock, explain, [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose]() }
  }

  test.each([
    ['does not answer', 503],
    ['refuses it', 403],
    ['no longer has it', 404],
    ['limits the pulls', 429],
  ])('says that the upstream %s', async (words, status) => {
    await using world = await start()
    const { cache, clock, explain } = world
    cache.fake.on(/manifests/, () => reply(status, {}, ''))
    clock.now += 3_600_000
    await cache.get('manifests/1')
    expect(await explain()).toContain(
      `last confirmed it at 2026-01-01T00:00:00.000Z. Now up.example ${words}. `,
    )
  })

  test('names the pin, the setting offline and the setting repositories', async () => {
    await using world = await start({ upstream: 'repositories = ["library/*"]' })
    const { cache, clock, explain } = world
    const pinned = await cache.server.fetch('/api/v1/pins', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ pattern: 'up.example/library/*' }),
    })
    expect(pinned.status).toBe(201)
    expect(await explain()).toEndWith('It is pinned by up.example/library/*, and is not evicted')
    await cache.restart({ upstream: 'repositories = ["other/*"]' })
    clock.now += 3_600_000
    expect(await explain()).toContain(
      `The setting "repositories" of up.example excludes ${REPOSITORY}, so it is not asked`,
    )
    await cache.restart({ cache: 'offline = true' })
    expect(await explain()).toContain('Now up.example is set to offline')
    expect(await explain('2')).toContain('up.example is set to offline, and is not asked')
  })
})
