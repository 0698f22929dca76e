import { describe, expect, test } from 'bun:test'
import { type CacheOptions, startCache, type TestCache } from '../support/cache.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { reply } from '../support/upstream.ts'

/** A cache whose clock the test sets. */
async function startAt(options: CacheOptions = {}) {
  let now = Date.UTC(2026, 0, 1)
  const cache = await startCache({ ...options, now: () => now })
  return {
    cache,
    pass: (seconds: number) => {
      now += seconds * 1000
    },
    [Symbol.asyncDispose]: () => cache[Symbol.asyncDispose](),
  }
}

/** Returns the messages in the log about stale tags. */
const staleLines = ({ server }: TestCache) =>
  server.log().flatMap(({ msg }) => (String(msg).includes('stale') ? [msg] : []))

const digestOf = (response: Response) => response.headers.get('docker-content-digest')

describe('cache: a tag', () => {
  test('is checked once in its fresh time, by one request for all clients, also after a restart', async () => {
    await using world = await startAt()
    const { cache, pass } = world
    cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    pass(299)
    await cache.restart()
    await cache.get('manifests/1')
    expect(cache.fake.requests(/^HEAD/)).toHaveLength(0)
    pass(400)
    const pulled = await Promise.all([1, 2, 3, 4].map(() => cache.get('manifests/1')))
    expect(pulled.map(({ status }) => status)).toEqual([200, 200, 200, 200])
    expect(cache.fake.requests(/^HEAD/)).toHaveLength(1)
    expect(cache.fake.requests(/^GET .*manifests/)).toHaveLength(1)
  })

  test('that moved is fetched again, and a cached digest is never requested again', async () => {
    await using world = await startAt()
    const { cache, pass } = world
    const first = cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    const second = cache.fake.putImage('library/app', '1')
    expect(digestOf(await cache.get('manifests/1'))).toBe(first.manifest.digest)
    pass(700)
    expect(digestOf(await cache.get('manifests/1'))).toBe(second.manifest.digest)
    const asked = cache.fake.log.length
    expect((await cache.get(`manifests/${first.manifest.digest}`)).status).toBe(200)
    expect(cache.fake.log).toHaveLength(asked)
  })

  test('that is a little stale is served at once, and checked in the background', async () => {
    await using world = await startAt()
    const { cache, pass } = world
    const first = cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    const second = cache.fake.putImage('library/app', '1')
    const gate = Promise.withResolvers<void>()
    cache.fake.on(/^HEAD/, (request) => [gate.promise, ...cache.fake.answer(request)], 1)
    pass(400)
    const stale = await cache.get('manifests/1')
    expect(digestOf(stale)).toBe(first.manifest.digest)
    expect(stale.headers.get('warning')).toBeNull()
    gate.resolve()
    for (;;) {
      const response = await cache.get('manifests/1')
      if (digestOf(response) === second.manifest.digest) break
    }
  })

  test.each([
    ['is unreachable', () => ['reset' as const], 'does not answer'],
    ['fails', () => reply(500, {}, ''), 'does not answer'],
    ['refuses', () => reply(401, {}, ''), 'refuses it'],
    ['limits pulls', () => reply(429, { 'retry-after': '3600' }, ''), 'limits the pulls'],
    ['has deleted it', () => reply(404, {}, ''), 'no longer has it'],
  ])('is served with a warning when the upstream %s', async (_, answer, words) => {
    await using world = await startAt()
    const { cache, pass } = world
    const { manifest } = cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    pass(10_000)
    cache.fake.on(/manifests/, answer)
    const response = await cache.get('manifests/1')
    expect(response.status).toBe(200)
    expect(digestOf(response)).toBe(manifest.digest)
    expect(response.headers.get('warning')).toBe(
      `299 - "up.example/library/app:1 is as of 2026-01-01T00:00:00Z: up.example ${words}"`,
    )
    const asked = cache.fake.log.length
    await cache.get('manifests/1')
    expect(cache.fake.log).toHaveLength(asked)
    expect(staleLines(cache)).toEqual([`serving a stale tag: up.example ${words}`])
    pass(3600)
    cache.fake.heal()
    expect((await cache.get('manifests/1')).headers.get('warning')).toBeNull()
    pass(10_000)
    cache.fake.on(/manifests/, answer)
    await cache.get('manifests/1')
    expect(staleLines(cache)).toHaveLength(2)
  })

  test('is served within the deadline when the upstream hangs', async () => {
    await using world = await startAt({ cache: 'deadline-milliseconds = 50' })
    const { cache, pass } = world
    cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    pass(10_000)
    cache.fake.on(/^HEAD/, [new Promise(() => {})])
    const began = performance.now()
    const response = await cache.get('manifests/1')
    expect(response.status).toBe(200)
    expect(response.headers.get('warning')).toContain('does not answer')
    await cache.get('manifests/1')
    expect(staleLines(cache)).toEqual(['serving a stale tag: up.example does not answer'])
    expect(performance.now() - began).toBeLessThan(2000)
  })

  test('is checked also if the upstream does not support HEAD, or names no digest', async () => {
    await using world = await startAt()
    const { cache, pass } = world
    cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    const second = cache.fake.putImage('library/app', '1')
    cache.fake.on(/^HEAD/, () => reply(405, {}, '', true), 1)
    pass(10_000)
    expect(digestOf(await cache.get('manifests/1'))).toBe(second.manifest.digest)
    const third = cache.fake.putImage('library/app', '1')
    cache.fake.on(/^HEAD/, () => reply(200, {}, '', true), 1)
    pass(10_000)
    expect(digestOf(await cache.get('manifests/1'))).toBe(third.manifest.digest)
  })

  test('is never requested when offline is set', async () => {
    await using world = await startAt()
    const { cache, pass } = world
    const { layer } = cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    pass(10_000)
    const asked = cache.fake.log.length
    await cache.restart({ cache: 'offline = true' })
    const response = await cache.get('manifests/1')
    expect(response.status).toBe(200)
    expect(response.headers.get('warning')).toContain('is set to offline')
    await cache.get('manifests/1')
    expect(staleLines(cache)).toEqual(['serving a stale tag: up.example is set to offline'])
    expect((await cache.get(`blobs/${layer.digest}`)).status).toBe(503)
    expect((await cache.get('manifests/2')).status).toBe(503)
    expect(cache.fake.log).toHaveLength(asked)
  })

  test('that moved to a type that is not allowed here is stale for that reason, and the log says which', async () => {
    const cache = '[artifacts]\nallow = ["up.example/**=image"]'
    await using world = await startAt({ cache })
    const { manifest } = world.cache.fake.putImage('library/app', '1')
    await world.cache.get('manifests/1')
    const artifact = imageManifest(EMPTY, [], { artifactType: 'application/vnd.example' })
    world.cache.fake.putManifest('library/app', '1', artifact)
    world.pass(700)
    const response = await world.cache.get('manifests/1')
    expect([response.status, digestOf(response)]).toEqual([200, manifest.digest])
    expect(response.headers.get('warning')).toContain('this server did not accept the response')
    const lines = world.cache.server.log().filter(({ msg }) => String(msg).includes('stale'))
    expect(lines.map(({ cause }) => cause)).toEqual([expect.stringContaining('accepts only image')])
  })

  test('that the upstream has deleted is removed if gone is drop', async () => {
    await using world = await startAt({ upstream: 'gone = "drop"' })
    const { cache, pass } = world
    cache.fake.putImage('library/app', '1')
    await cache.get('manifests/1')
    cache.fake.on(/manifests/, () => reply(404, {}, ''))
    pass(10_000)
    expect((await cache.get('manifests/1')).status).toBe(404)
  })
})

test('cache: a 404 is remembered for half a minute, and no longer', async () => {
  await using world = await startAt()
  const { cache, pass } = world
  expect((await cache.get('manifests/1')).status).toBe(404)
  cache.fake.putImage('library/app', '1')
  expect((await cache.get('manifests/1')).status).toBe(404)
  pass(31)
  expect((await cache.get('manifests/1')).status).toBe(200)
})

test('cache: a 404 for a blob that is requested again and again is not remembered longer', async () => {
  await using world = await startAt()
  const { cache, pass } = world
  const layer = randomBlob(1000)
  const statuses: number[] = []
  for (let request = 0; request < 3; request++) {
    statuses.push((await cache.get(`blobs/${layer.digest}`)).status)
    cache.fake.putBlob('library/app', layer)
    pass(20)
  }
  expect(statuses).toEqual([404, 404, 200])
})

test('cache: tags and referrers are listed by the upstream, and from the cache while it is down', async () => {
  await using world = await startAt()
  const { cache, pass } = world
  cache.fake.putImage('library/app', '1')
  await cache.get('manifests/1')
  cache.fake.on(/tags\/list/, () => reply(200, {}, '{"name":"library/app","tags":["1","2","latest"]}'))
  const tags = async () => ((await (await cache.get('tags/list')).json()) as { tags: string[] }).tags
  expect(await tags()).toEqual(['1', '2', 'latest'])
  pass(10_000)
  cache.fake.on(/tags\/list/, () => reply(503, {}, ''))
  expect(await tags()).toEqual(['1'])
})
