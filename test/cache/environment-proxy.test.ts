import { describe, expect, test } from 'bun:test'
import { isExempt, proxyFor } from '../../src/cache/upstream/connections.ts'
import { parseDigest } from '../../src/oci/reference.ts'
import { randomBlob } from '../support/content.ts'
import { failureOf } from '../support/failure.ts'
import { FakeUpstream, reply } from '../support/upstream.ts'
import { NAME, open, TAG, within } from '../support/upstream-client.ts'

const PROXY = 'http://proxy.example:3128'

describe('environment: the proxy of', () => {
  test.each([
    ['https://reg.example/', { https_proxy: PROXY }, PROXY],
    ['https://reg.example/', { HTTPS_PROXY: PROXY, http_proxy: 'http://other' }, PROXY],
    ['https://reg.example/', { http_proxy: PROXY }, undefined],
    ['http://reg.example/', { HTTP_PROXY: PROXY }, PROXY],
    ['http://reg.example/', { http_proxy: '', ALL_PROXY: PROXY }, PROXY],
    ['https://reg.example/', { all_proxy: PROXY }, PROXY],
    ['https://reg.example/', { https_proxy: 'proxy.example:3128' }, PROXY],
    ['https://reg.example/', { https_proxy: PROXY, no_proxy: 'reg.example' }, undefined],
    ['https://reg.example/', { https_proxy: PROXY, no_proxy: '', NO_PROXY: 'reg.example' }, undefined],
    ['https://reg.example/', { https_proxy: PROXY, no_proxy: 'other', NO_PROXY: 'reg.example' }, PROXY],
    ['https://reg.example/', {}, undefined],
  ] as const)('%s with %o is %s', (url, environment, expected) => {
    expect(proxyFor(new URL(url), environment)).toBe(expected)
  })
})

/** Entries of NO_PROXY, with hosts that they exempt, and hosts that they do not. */
const EXEMPT: [entry: string, exempt: string[], proxied: string[]][] = [
  [
    'reg.invalid',
    ['reg.invalid', 'a.reg.invalid', 'b.a.reg.invalid', 'REG.invalid', 'reg.invalid.'],
    ['xreg.invalid', 'invalid'],
  ],
  ['.reg.invalid', ['reg.invalid', 'a.reg.invalid'], ['xreg.invalid']],
  ['*.reg.invalid', ['reg.invalid', 'a.reg.invalid'], ['xreg.invalid']],
  ['REG.invalid.', ['reg.invalid'], ['other.invalid']],
  ['reg.invalid:8080', ['reg.invalid:8080'], ['reg.invalid', 'reg.invalid:81']],
  ['reg.invalid:80', ['reg.invalid', 'a.reg.invalid'], ['reg.invalid:8080']],
  ['other.invalid, reg.invalid', ['reg.invalid', 'other.invalid'], ['third.invalid']],
  ['other.invalid reg.invalid', ['reg.invalid', 'other.invalid'], ['third.invalid']],
  ['*', ['reg.invalid', '127.0.0.1:1', '[::1]:1'], []],
  ['127.0.0.1', ['127.0.0.1:1'], ['127.0.0.2:1']],
  ['127.0.0.0/30', ['127.0.0.1:1', '127.0.0.3:1'], ['127.0.0.4:1', 'reg.invalid']],
  ['127.0.0.0/33', [], ['127.0.0.1:1']],
  ['0.0.1', [], ['127.0.0.1:1']],
  ['::1', ['[::1]:1'], ['127.0.0.1:1']],
  ['[::1]', ['[::1]:1'], []],
  ['::/64', ['[::1]:1'], ['[fd00::1]:1']],
  ['eg.invalid', [], ['reg.invalid']],
  ['http://reg.invalid', [], ['reg.invalid']],
  [' , ', [], ['reg.invalid']],
]

describe('environment: NO_PROXY', () => {
  test.each(EXEMPT)('%j exempts %j, and not %j', (entry, exempt, proxied) => {
    const of = (host: string) => isExempt(new URL(`http://${host}/`), { NO_PROXY: entry })
    expect(exempt.map(of)).toEqual(exempt.map(() => true))
    expect(proxied.map(of)).toEqual(proxied.map(() => false))
  })

  test('exempts the hosts to which Bun connects directly, so that no unchecked address is connected to', async () => {
    await using proxy = await FakeUpstream.start()
    proxy.on(/./, () => reply(200, {}, ''))
    const { no_proxy, NO_PROXY } = process.env
    try {
      delete process.env.no_proxy
      for (const row of EXEMPT) {
        // A direct request is only sent to localhost, which needs no name server.
        const text = JSON.stringify(row)
          .replaceAll(/reg\.invalid/gi, (name) => (name[0] === 'R' ? 'LOCALHOST' : 'localhost'))
          .replaceAll('eg.invalid', 'ocalhost')
        const [entry, exempt, proxied] = JSON.parse(text) as (typeof EXEMPT)[number]
        process.env.NO_PROXY = entry
        const local = exempt.filter((host) => /^(localhost|127|\[::1)/i.test(host))
        for (const host of [...local, ...proxied]) {
          const before = proxy.log.length
          await fetch(`http://${host}/`, { proxy: proxy.url }).catch(() => {})
          expect([entry, host, proxy.log.length > before]).toEqual([entry, host, proxied.includes(host)])
        }
      }
    } finally {
      delete process.env.NO_PROXY
      Object.assign(process.env, { ...(NO_PROXY && { NO_PROXY }), ...(no_proxy && { no_proxy }) })
    }
  })
})

describe('upstream: behind the proxy of the environment', () => {
  const blob = randomBlob(1000)
  const digest = parseDigest(blob.digest)
  const time = { deadlineMs: 5000 }
  const urls = (url: string): [URL] => [new URL(url)]

  test('a redirect to a host in NO_PROXY is checked, and connects to the checked address', async () => {
    await using proxy = await FakeUpstream.start()
    await using storage = await FakeUpstream.start()
    storage.content.set('/blob', { bytes: blob.bytes, headers: {} })
    const location = `http://inside.example:${storage.port}/blob`
    proxy.on(/up\.example/, () => reply(307, { location }, ''))
    const more = { urls: urls('http://up.example') }
    const options = {
      environment: { http_proxy: proxy.url, NO_PROXY: '.inside.example' },
      resolve: async (name: string) => (name === 'inside.example' ? ['127.0.0.1'] : []),
    }
    const refused = open(proxy, more, options).upstream.getBlob(NAME, digest, 0, time)
    expect((await failureOf(refused)).message).toContain('loopback address')
    const { upstream } = open(proxy, { ...more, redirects: ['inside.example'] }, options)
    await upstream.getBlob(NAME, digest, 0, time)
    expect(storage.log[0]?.headers.host).toBe(`inside.example:${storage.port}`)
    expect(proxy.log.map(({ path }) => path)).toEqual(
      Array(2).fill(`http://up.example/v2/library/app/blobs/${digest}`),
    )
  })

  test.each(['redirect', 'token service'] as const)(
    'of a host in NO_PROXY, a %s is asked by the proxy, which looks up its name',
    async (kind) => {
      await using fake = await FakeUpstream.start()
      await using proxy = await FakeUpstream.start()
      const outside = 'http://outside.example/x'
      fake.on(/./, () =>
        kind === 'redirect'
          ? reply(307, { location: outside }, '')
          : reply(401, { 'www-authenticate': `Bearer realm="${outside}"` }, ''),
      )
      proxy.on(/./, () => reply(kind === 'redirect' ? 200 : 403, {}, '{}'))
      const options = {
        environment: { all_proxy: proxy.url, no_proxy: '127.0.0.0/8' },
        resolve: async () => [],
      }
      await open(fake, {}, options)
        .upstream.getManifest(NAME, TAG, within)
        .catch(() => {})
      expect(proxy.log[0]?.path).toStartWith(outside)
      expect([fake.log.length, proxy.log.length]).toEqual([1, 1])
    },
  )

  test('a host in NO_PROXY is asked directly, also if the setting "proxy" names one', async () => {
    await using fake = await FakeUpstream.start()
    await using proxy = await FakeUpstream.start()
    fake.putImage('library/app', '1')
    const options = { environment: { NO_PROXY: '127.0.0.1' } }
    await open(fake, { proxy: proxy.url }, options).upstream.getManifest(NAME, TAG, within)
    expect([fake.log.length, proxy.log.length]).toEqual([1, 0])
  })
})
