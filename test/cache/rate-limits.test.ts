import { describe, expect, test } from 'bun:test'
import { parseDigest, parseReference, parseRepositoryName } from '../../src/oci/reference.ts'
import { startCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { FakeUpstream, reply } from '../support/upstream.ts'
import { kindOf, NAME, open, TAG, within } from '../support/upstream-client.ts'

const OTHER = parseRepositoryName('up.example/library/other')
const blob = randomBlob(1000)
const DIGEST = parseDigest(blob.digest)
const time = { deadlineMs: 5000 }
const limited = () => reply(429, { 'retry-after': '60' }, '')

describe('upstream: after a 429 with Retry-After', () => {
  test.each([
    ['manifests', /^GET .*manifests/, 'manifest'],
    ['checks', /^HEAD .*manifests/, 'check'],
    ['blobs', /^GET .*blobs/, 'blob'],
    ['lists', /^GET .*tags/, 'list'],
  ] as const)(
    'no %s of any repository are requested until then, and everything else is',
    async (_, match, kind) => {
      await using fake = await FakeUpstream.start()
      for (const name of ['library/app', 'library/other']) {
        fake.putImage(name, '1')
        fake.putBlob(name, blob)
      }
      fake.content.set('/v2/library/app/tags/list', { bytes: Buffer.from('{"tags":[]}'), headers: {} })
      const { upstream, passed } = open(fake)
      const requests = {
        manifest: (name: typeof NAME) => upstream.getManifest(name, TAG, within),
        check: (name: typeof NAME) => upstream.checkTag(name, TAG, time),
        blob: (name: typeof NAME) => upstream.getBlob(name, DIGEST, 0, time),
        list: (name: typeof NAME) => upstream.getList(name, 'tags/list', time.deadlineMs),
      }
      fake.on(match, limited, 1)
      expect(await kindOf(requests[kind](NAME))).toBe('limited')
      passed(20_000)
      const asked = fake.log.length
      expect(await failureOf(requests[kind](OTHER))).toMatchObject({ kind: 'limited', retryAfterSeconds: 40 })
      expect(fake.log).toHaveLength(asked)
      for (const [name, request] of Object.entries(requests)) if (name !== kind) await request(NAME)
      passed(40_000)
      await requests[kind](NAME)
    },
  )

  test('of its token service, content with a token is pulled, and no other token is requested', async () => {
    await using fake = await FakeUpstream.start()
    fake.putImage('library/app', '1')
    fake.auth = { header: 'Bearer secret', challenge: `Bearer realm="${fake.url}/token"` }
    fake.on(/\/token/, limited)
    fake.on(/\/token/, () => reply(200, {}, '{"token":"secret","expires_in":300}'), 1)
    const { upstream } = open(fake)
    await upstream.getManifest(NAME, TAG, within)
    for (let count = 0; count < 2; count++) {
      expect(await kindOf(upstream.getManifest(OTHER, TAG, within))).toBe('limited')
    }
    expect(fake.requests(/token/)).toHaveLength(2)
    await upstream.getManifest(NAME, TAG, within)
  })

  test('its mirror is asked', async () => {
    await using fake = await FakeUpstream.start()
    await using mirror = await FakeUpstream.start()
    mirror.putImage('library/app', '1')
    fake.on(/./, limited)
    const { upstream } = open(fake, { urls: [new URL(fake.url), new URL(mirror.url)] })
    for (let count = 0; count < 2; count++) await upstream.getManifest(NAME, TAG, within)
    expect([fake.log.length, mirror.log.length]).toEqual([1, 2])
    const missing = upstream.getManifest(NAME, parseReference('missing'), within)
    expect(await kindOf(missing)).toBe('limited')
  })
})

test('cache: clients get 429 with the rest of Retry-After, cached tags are served, and explain names the limit', async () => {
  let now = Date.UTC(2026, 0, 1)
  await using cache = await startCache({ now: () => now })
  cache.fake.putImage('library/app', '1')
  await cache.get('manifests/1')
  now += 10_000_000
  cache.fake.on(/manifests/, limited)
  const stale = await cache.get('manifests/1')
  expect(stale.headers.get('warning')).toContain('limits the pulls')
  expect((await cache.get('manifests/2')).status).toBe(429)
  const asked = cache.fake.log.length
  now += 20_000
  const refused = await cache.get('manifests/3')
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '40'])
  await cache.get('manifests/1')
  expect(cache.fake.log).toHaveLength(asked)
  const words = `${cache.fake.host} limits requests (429), and is not asked before 2026-01-01T02:47:40.000Z`
  for (const reference of ['1', '3']) {
    const query = new URLSearchParams({ repository: 'up.example/library/app', reference })
    const response = await cache.server.fetch(`/api/v1/cache/explain?${query}`)
    expect(((await response.json()) as { explanation: string }).explanation).toEndWith(words)
  }
})
