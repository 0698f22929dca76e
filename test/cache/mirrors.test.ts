import { describe, expect, test } from 'bun:test'
import { parseDigest } from '../../src/oci/reference.ts'
import { startCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { startFullListener } from '../support/full-listener.ts'
import { FakeUpstream, head, reply, type Step } from '../support/upstream.ts'
import { LIMITS, NAME, open, TAG, within } from '../support/upstream-client.ts'

const SIZE = 200_000
const blob = randomBlob(SIZE)
const never = () => new Promise(() => {})
const silent = (): Step[] => [never()]

/** Starts an upstream with a mirror that has the image `library/app:1` and the blob. */
async function startMirrored() {
  const fake = await FakeUpstream.start()
  const mirror = await FakeUpstream.start()
  mirror.putBlob('library/app', blob)
  return {
    fake,
    mirror,
    urls: [new URL(fake.url), new URL(mirror.url)] as [URL, URL],
    image: mirror.putImage('library/app', '1'),
    async [Symbol.asyncDispose]() {
      await fake[Symbol.asyncDispose]()
      await mirror[Symbol.asyncDispose]()
    },
  }
}

describe('upstream: a mirror is asked within the deadline when the first endpoint', () => {
  test('accepts connections and sends nothing', async () => {
    await using up = await startMirrored()
    up.fake.on(/./, silent)
    const { upstream } = open(up.fake, { urls: up.urls })
    const time = { deadlineMs: 2000 }
    const digest = parseDigest(blob.digest)
    const answers = await Promise.all([
      upstream.getManifest(NAME, TAG, { ...within, ...time }),
      upstream.checkTag(NAME, TAG, time),
      upstream.getBlobSize(NAME, digest, time.deadlineMs),
      upstream.getBlob(NAME, digest, 0, time),
    ])
    expect(answers).toHaveLength(4)
  })

  test('is silent, and clients wait for a shorter time than the check may take', async () => {
    await using up = await startMirrored()
    up.fake.on(/./, silent)
    const { upstream } = open(up.fake, { urls: up.urls })
    const digest = await upstream.checkTag(NAME, TAG, { deadlineMs: 3_600_000, clientWaitMs: 200 })
    expect(digest as string).toBe(up.image.manifest.digest)
  })

  test.skipIf(process.platform !== 'linux').each(['redirect', 'token service'] as const)(
    'leads to a %s where a connect hangs',
    async (kind) => {
      using hanging = await startFullListener()
      await using up = await startMirrored()
      up.fake.on(/./, () =>
        kind === 'redirect'
          ? reply(307, { location: `${hanging.url}/x` }, '')
          : reply(401, { 'www-authenticate': `Bearer realm="${hanging.url}/token"` }, ''),
      )
      const { upstream } = open(up.fake, { urls: up.urls }, { limits: { ...LIMITS, connectMs: 50 } })
      await upstream.getManifest(NAME, TAG, { ...within, deadlineMs: 3_600_000 })
      expect(up.mirror.log).toHaveLength(1)
    },
  )
})

test('cache: a tag that has moved is served from the mirror while the first endpoint is silent', async () => {
  let now = Date.UTC(2026, 0, 1)
  await using mirror = await FakeUpstream.start()
  await using cache = await startCache({
    upstream: `mirrors = ["${mirror.url}"]`,
    cache: 'deadline-milliseconds = 4000',
    now: () => now,
  })
  cache.fake.putImage('library/app', '1')
  await cache.get('manifests/1')
  const { manifest } = mirror.putImage('library/app', '1')
  cache.fake.on(/^HEAD /, silent)
  cache.fake.on(/^GET /, () => reply(404, {}, ''))
  now += 10_000_000
  const response = await cache.get('manifests/1')
  expect(response.headers.get('docker-content-digest')).toBe(manifest.digest)
  expect(response.headers.has('warning')).toBe(false)
})

describe('cache: the client gets 504 in time when the upstream sends no body for', () => {
  const stalls = (): Step[] => [head(200, { 'content-length': String(SIZE) }), never()]
  const LIMITS = 'first-byte-seconds-max = 1'

  test('a blob that does not fit into the cache', async () => {
    await using cache = await startCache({ cache: `${LIMITS}\nbytes-max = 1000` })
    cache.fake.putBlob('library/app', blob)
    cache.fake.on(/^GET .*blobs/, stalls)
    expect((await cache.get(`blobs/${blob.digest}`)).status).toBe(504)
  })

  test.each(['tags/list', `referrers/${blob.digest}`])('%s', async (suffix) => {
    await using cache = await startCache({ cache: LIMITS })
    cache.fake.on(/^GET /, stalls)
    expect((await cache.get(suffix)).status).toBe(504)
  })
})

describe('cache: a response that breaks off before its first byte is a 503 with Retry-After, for', () => {
  test.each([
    ['a blob that is stored', ''],
    ['a blob that does not fit into the cache', 'bytes-max = 1000'],
  ])(
    '%s',
    async (_, settings) => {
      await using cache = await startCache({ cache: settings })
      cache.fake.putBlob('library/app', blob)
      cache.fake.on(/^GET .*blobs/, () => [head(200, { 'content-length': String(SIZE) }), 'reset'])
      const response = await cache.get(`blobs/${blob.digest}`)
      expect([response.status, response.headers.has('retry-after')]).toEqual([503, true])
    },
    30_000,
  )
})
