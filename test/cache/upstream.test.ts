import { describe, expect, test } from 'bun:test'
import type { UpstreamError } from '../../src/cache/upstream/answer.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { named, randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { FakeUpstream, head, reply } from '../support/upstream.ts'
import { kindOf, NAME, open, TAG, within } from '../support/upstream-client.ts'

test('upstream: a manifest is requested by its name in the upstream, with every media type', async () => {
  await using fake = await FakeUpstream.start()
  const { manifest } = fake.putImage('library/app', '1')
  const { upstream } = open(fake)
  const got = await upstream.getManifest(NAME, TAG, within)
  expect(got).toMatchObject({
    digest: manifest.digest as never,
    mediaType: 'application/vnd.oci.image.manifest.v1+json',
  })
  expect(Buffer.from(got.bytes).equals(manifest.bytes)).toBe(true)
  expect(fake.log[0]?.headers.accept).toContain('manifest.list.v2+json')
  expect(fake.log[0]?.headers['user-agent']).toMatch(/^cay\//)
})

test('upstream: an endless manifest is read up to its limit only', async () => {
  await using fake = await FakeUpstream.start()
  const never = new Promise(() => {})
  fake.on(/manifests/, [
    head(200, { 'transfer-encoding': 'chunked' }),
    `${(8192).toString(16)}\r\n`,
    'x'.repeat(8192),
    never,
  ])
  const { upstream } = open(fake)
  expect(await kindOf(upstream.getManifest(NAME, TAG, within))).toBe('wrong')
})

test.each([
  [404, 'absent'],
  [401, 'denied'],
  [403, 'denied'],
  [429, 'limited'],
  [405, 'unsupported'],
  [500, 'unavailable'],
  [503, 'unavailable'],
] as const)('upstream: status %d is told as %s', async (status, kind) => {
  await using fake = await FakeUpstream.start()
  fake.on(/manifests/, () => reply(status, { 'retry-after': '7' }, ''))
  const failure = (await failureOf(open(fake).upstream.getManifest(NAME, TAG, within))) as UpstreamError
  expect(failure.kind).toBe(kind)
  if (kind === 'limited') expect(failure.retryAfterSeconds).toBe(7)
})

test('upstream: a request without a response in time is aborted', async () => {
  await using fake = await FakeUpstream.start()
  fake.on(/manifests/, [new Promise(() => {})])
  const failure = (await failureOf(
    open(fake).upstream.getManifest(NAME, TAG, { ...within, deadlineMs: 30 }),
  )) as UpstreamError
  expect(failure).toMatchObject({ kind: 'unavailable', isTransport: true })
  expect(failure.message).toContain('does not answer in time')
})

describe('upstream: credentials', () => {
  const challenge = (fake: FakeUpstream) => `Bearer realm="${fake.url}/token",service="up",scope="anything"`

  test('a token is requested once for each scope, and reused', async () => {
    await using fake = await FakeUpstream.start()
    fake.putImage('library/app', '1')
    fake.auth = { header: 'Bearer secret', challenge: challenge(fake) }
    fake.on(/\/token/, () => reply(200, {}, '{"token":"secret","expires_in":300}'))
    const { upstream, passed } = open(fake, { credentials: { username: 'me', password: 'pw' } })
    await Promise.all([1, 2, 3].map(() => upstream.getManifest(NAME, TAG, within)))
    await upstream.getManifest(NAME, TAG, within)
    const tokens = fake.requests(/token/)
    expect(tokens.map(({ path }) => path)).toEqual([
      '/token?service=up&scope=repository%3Alibrary%2Fapp%3Apull',
    ])
    expect(tokens[0]?.headers.authorization).toBe(`Basic ${btoa('me:pw')}`)
    passed(295_000)
    await upstream.getManifest(NAME, TAG, within)
    expect(fake.requests(/token/)).toHaveLength(2)
  })

  test('Basic is sent only after a challenge, and a refusal is final', async () => {
    await using fake = await FakeUpstream.start()
    fake.putImage('library/app', '1')
    fake.auth = { header: `Basic ${btoa('me:pw')}`, challenge: 'Basic realm="up"' }
    await open(fake, { credentials: { username: 'me', password: 'pw' } }).upstream.getManifest(
      NAME,
      TAG,
      within,
    )
    expect(fake.log.map(({ headers }) => headers.authorization)).toEqual([undefined, fake.auth.header])
    expect(await kindOf(open(fake).upstream.getManifest(NAME, TAG, within))).toBe('denied')
    const wrong = open(fake, { credentials: { username: 'me', password: 'other' } })
    expect(await kindOf(wrong.upstream.getManifest(NAME, TAG, within))).toBe('denied')
  })

  test('are not sent to the host of a redirect, nor to a mirror', async () => {
    await using fake = await FakeUpstream.start()
    await using other = await FakeUpstream.start()
    const blob = randomBlob(100)
    fake.auth = { header: `Basic ${btoa('me:pw')}`, challenge: 'Basic' }
    fake.on(/blobs/, (request) =>
      request.headers.authorization
        ? reply(307, { location: `${other.url}/cdn?signed=1` }, '')
        : fake.answer(request),
    )
    other.content.set('/cdn', { bytes: blob.bytes, headers: {} })
    const { upstream } = open(fake, {
      credentials: { username: 'me', password: 'pw' },
      urls: [new URL(fake.url), new URL(other.url)],
    })
    const got = await upstream.getBlob(NAME, parseDigest(blob.digest), 0, { deadlineMs: 5000 })
    expect(Buffer.from(await new Response(got.stream).bytes()).equals(blob.bytes)).toBe(true)
    expect(await kindOf(upstream.getManifest(NAME, TAG, within))).toBe('absent')
    expect(other.log.map(({ headers }) => headers.authorization)).toEqual([undefined, undefined])
  })
})

describe('upstream: redirects and realms', () => {
  test.each([
    'http://169.254.169.254/latest/meta-data',
    'http://[::ffff:169.254.169.254]/',
    'http://me:pw@127.0.0.1/',
    'file:///etc/passwd',
    'http://0.0.0.0/',
  ])('to %s are refused before a connection is made', async (location) => {
    await using fake = await FakeUpstream.start()
    fake.on(/blobs/, () => reply(302, { location }, ''))
    fake.on(/manifests/, () => reply(401, { 'www-authenticate': `Bearer realm="${location}"` }, ''))
    const { upstream } = open(fake)
    const digest = parseDigest(named('x').digest)
    const redirect = (await failureOf(
      upstream.getBlob(NAME, digest, 0, { deadlineMs: 5000 }),
    )) as UpstreamError
    expect(redirect.kind).toBe('wrong')
    expect(redirect.message).toContain('refused')
    expect(redirect.message).not.toContain('pw')
    expect(await kindOf(upstream.getManifest(NAME, TAG, within))).toBe('wrong')
  })

  test('from a public upstream to a private address are refused, whatever its name is', async () => {
    const addresses: Record<string, string[]> = {
      'up.example': ['93.184.216.34'],
      'inside.example': ['93.184.216.34', '10.0.0.7'],
    }
    const { Targets } = await import('../../src/cache/upstream/connections.ts')
    const resolve = async (name: string) => addresses[name] ?? []
    const targets = new Targets(new URL('https://up.example'), [], resolve)
    const refusal = (await failureOf(targets.check(new URL('https://inside.example/x')))) as UpstreamError
    expect(refusal.message).toContain('private address')
    const allowed = new Targets(new URL('https://up.example'), ['*.example'], resolve)
    expect(await allowed.check(new URL('https://inside.example/x'))).toMatchObject({
      host: 'inside.example',
      serverName: 'inside.example',
    })
    expect((await failureOf(targets.check(new URL('http://up.example/')))).message).toContain('not HTTPS')
  })

  test('that never end are aborted', async () => {
    await using fake = await FakeUpstream.start()
    fake.on(/manifests/, () => reply(302, { location: '/v2/library/app/manifests/1' }, ''))
    expect(await kindOf(open(fake).upstream.getManifest(NAME, TAG, within))).toBe('wrong')
    expect(fake.log).toHaveLength(6)
  })
})

describe('upstream: ranges of blobs', () => {
  const blob = randomBlob(1000)
  const digest = parseDigest(blob.digest)

  test('are returned as requested', async () => {
    await using fake = await FakeUpstream.start()
    fake.putBlob('library/app', blob)
    const got = await open(fake).upstream.getBlob(NAME, digest, 400, { deadlineMs: 5000 })
    expect(got).toMatchObject({ from: 400, total: 1000 })
    expect(Buffer.from(await new Response(got.stream).bytes()).equals(blob.bytes.subarray(400))).toBe(true)
  })

  test('that the upstream ignores begin at the first byte, and wrong ones are refused', async () => {
    await using fake = await FakeUpstream.start()
    fake.on(/blobs/, () => reply(200, {}, blob.bytes), 1)
    const { upstream } = open(fake)
    expect(await upstream.getBlob(NAME, digest, 400, { deadlineMs: 5000 })).toMatchObject({
      from: 0,
      total: 1000,
    })
    fake.on(/blobs/, () => reply(206, { 'content-range': 'bytes 300-999/1000' }, blob.bytes.subarray(300)))
    expect(await kindOf(upstream.getBlob(NAME, digest, 400, { deadlineMs: 5000 }))).toBe('wrong')
  })
})

test('upstream: a mirror is tried when the first endpoint lacks the content, or is down', async () => {
  await using fake = await FakeUpstream.start()
  await using mirror = await FakeUpstream.start()
  mirror.putImage('library/app', '1')
  const { upstream } = open(fake, { urls: [new URL(fake.url), new URL(mirror.url)] })
  await upstream.getManifest(NAME, TAG, within)
  fake.on(/manifests/, ['reset'])
  await upstream.getManifest(NAME, TAG, within)
  expect(mirror.log).toHaveLength(2)
})

test('upstream: repositories that the setting "repositories" does not name are not requested', async () => {
  await using fake = await FakeUpstream.start()
  const { upstream } = open(fake, { repositories: ['other/**'] })
  expect(await kindOf(upstream.getManifest(NAME, TAG, within))).toBe('denied')
  expect(fake.log).toEqual([])
})

test('upstream: the remaining pulls are read from the headers of Docker Hub', async () => {
  await using fake = await FakeUpstream.start()
  const limits = { 'ratelimit-limit': '100;w=21600', 'ratelimit-remaining': '76;w=21600' }
  fake.on(/manifests/, () => reply(200, limits, '{}'))
  const { upstream } = open(fake)
  await upstream.getManifest(NAME, TAG, within)
  expect(upstream.pullsLeft).toEqual({ limit: 100, remaining: 76 })
})

test('upstream: a challenge of the target of a redirect gets no credentials', async () => {
  await using fake = await FakeUpstream.start()
  await using other = await FakeUpstream.start()
  fake.on(/manifests/, () => reply(307, { location: `${other.url}/x` }, ''))
  other.on(/./, () => reply(401, { 'www-authenticate': `Bearer realm="${other.url}/token"` }, ''))
  const { upstream } = open(fake, { credentials: { username: 'me', password: 'pw' } })
  expect(await kindOf(upstream.getManifest(NAME, TAG, within))).toBe('unavailable')
  expect(other.log).toHaveLength(1)
  expect(other.log[0]?.headers.authorization).toBeUndefined()
})
