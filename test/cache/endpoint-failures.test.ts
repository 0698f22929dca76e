import { describe, expect, test } from 'bun:test'
import { parseRepositoryName } from '../../src/oci/reference.ts'
import { startCache } from '../support/cache.ts'
import { failureOf } from '../support/failure.ts'
import { FakeUpstream, reply, type Step } from '../support/upstream.ts'
import { kindOf, NAME, open, TAG, within } from '../support/upstream-client.ts'

describe('upstream: after three failures', () => {
  const OTHER = parseRepositoryName('up.example/library/other')

  test('a repository gets no requests for a while, and then one', async () => {
    await using fake = await FakeUpstream.start()
    fake.putImage('library/app', '1')
    fake.on(/manifests/, ['reset'])
    const { upstream, passed } = open(fake)
    const get = () => upstream.getManifest(NAME, TAG, within)
    for (let failures = 0; failures < 3; failures++) expect(await kindOf(get())).toBe('unavailable')
    const asked = fake.log.length
    expect(upstream.isUpFor(NAME)).toBe(false)
    expect(await kindOf(get())).toBe('unavailable')
    expect(fake.log).toHaveLength(asked)
    passed(5000)
    fake.heal()
    await get()
    expect(upstream.isUpFor(NAME)).toBe(true)
  })

  test.each([
    ['resets', () => ['reset']],
    ['closes', () => ['fin']],
    ['responds with 502', () => reply(502, {}, '')],
    ['responds with 503', () => reply(503, {}, '')],
    ['redirects to a host that closes', (url: string) => reply(307, { location: `${url}/closes` }, '')],
  ] as [string, (url: string) => Step[]][])(
    'other repositories are requested when it %s',
    async (_, answer) => {
      await using fake = await FakeUpstream.start()
      await using cdn = await FakeUpstream.start()
      cdn.on(/./, ['fin'])
      fake.putImage('library/other', '1')
      fake.on(/library.app/, () => answer(cdn.url))
      const { upstream } = open(fake)
      const get = (name: typeof NAME) => upstream.getManifest(name, TAG, within)
      for (let failures = 0; failures < 4; failures++) expect(await kindOf(get(NAME))).toBe('unavailable')
      expect([upstream.isUp, upstream.isUpFor(NAME)]).toEqual([true, false])
      await get(OTHER)
    },
  )

  test('a requested check is sent even during the pause, and ends it if it succeeds', async () => {
    await using fake = await FakeUpstream.start()
    fake.putImage('library/app', '1')
    fake.on(/./, ['reset'])
    const { upstream } = open(fake)
    const get = (name: string) => upstream.getManifest(parseRepositoryName(name), TAG, within)
    for (const name of ['a', 'b', 'c']) await failureOf(get(`up.example/library/${name}`))
    expect(upstream.isUp).toBe(false)
    expect(await upstream.reach()).toMatchObject({ reachable: false })
    expect(upstream.isUp).toBe(false)
    fake.heal()
    expect(await upstream.reach()).toMatchObject({ reachable: true })
    expect(upstream.isUp).toBe(true)
    await upstream.getManifest(NAME, TAG, within)
  })

  test('to connect, no repository is requested', async () => {
    await using fake = await FakeUpstream.start()
    await fake.stop()
    const { upstream } = open(fake)
    const get = () => upstream.getManifest(NAME, TAG, within)
    for (let failures = 0; failures < 3; failures++) expect(await kindOf(get())).toBe('unavailable')
    expect([upstream.isUp, upstream.isUpFor(OTHER)]).toEqual([false, false])
  })

  test.each([404, 401])('a trial that gets %d lets the next requests through', async (status) => {
    await using fake = await FakeUpstream.start()
    fake.putImage('library/app', '1')
    fake.on(/manifests/, ['reset'], 3)
    const { upstream, passed } = open(fake)
    const get = () => upstream.getManifest(NAME, TAG, within)
    for (let failures = 0; failures < 3; failures++) await failureOf(get())
    passed(5000)
    fake.on(/manifests/, () => reply(status, {}, ''), 1)
    await failureOf(get())
    await Promise.all([get(), get()])
  })

  test('a trial whose redirect leads to a name that is never resolved ends in time', async () => {
    await using fake = await FakeUpstream.start()
    const never = () => new Promise<never>(() => {})
    fake.on(/manifests/, () => reply(307, { location: 'http://never.example/' }, ''))
    const { upstream } = open(fake, {}, { resolve: never })
    const get = () => upstream.getManifest(NAME, TAG, { ...within, deadlineMs: 30 })
    expect(await failureOf(get())).toMatchObject({ kind: 'unavailable', isTimeout: true })
  })
})

test.each([
  ['resets', () => ['reset']],
  ['responds with 503', () => reply(503, {}, '')],
] as [string, () => Step[]][])(
  'cache: other images are pulled while the upstream %s for one',
  async (_, answer) => {
    await using cache = await startCache()
    cache.fake.putImage('library/other', '1')
    cache.fake.on(/library.app/, answer)
    for (let failures = 0; failures < 4; failures++) expect((await cache.get('manifests/1')).status).toBe(503)
    const response = await cache.server.fetch('/v2/up.example/library/other/manifests/1')
    expect(response.status).toBe(200)
  },
)
