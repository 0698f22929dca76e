import { describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openAutomatic } from '../../src/tls/tls.ts'
import { startCache } from '../support/cache.ts'
import { randomBlob } from '../support/content.ts'
import { openMemoryLog } from '../support/memory-log.ts'
import { FakeUpstream, reply } from '../support/upstream.ts'

const blob = randomBlob(100_000)
const BLOB = `blobs/${blob.digest}`

/** Starts an HTTPS server for the content of an upstream, with a certificate of its own authority. */
async function startTls(fake: FakeUpstream) {
  const resources = new AsyncDisposableStack()
  const { path } = resources.use(await temporaryFolder('authority'))
  const facts = () => ({ hostname: 'box.example', addresses: [], named: [] })
  const tls = await openAutomatic({
    data: path,
    log: openMemoryLog().log,
    now: Date.now,
    onChange: () => {},
    facts,
  })
  resources.defer(() => tls.close())
  const { certificate: cert, key } = tls.credentials()
  const server = Bun.serve({
    port: 0,
    hostname: '127.0.0.1',
    tls: { key, cert },
    fetch: ({ url, method, headers }) => {
      const { pathname, search } = new URL(url)
      return fetch(fake.url + pathname + search, { method, headers, redirect: 'manual' })
    },
  })
  resources.defer(() => server.stop(true))
  return {
    ca: join(path, 'tls', 'rootCA.pem'),
    port: server.port,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  }
}

describe('cache: the setting "ca" of an upstream', () => {
  test('makes its certificate trusted, also where its redirects lead, and without it nothing is fetched', async () => {
    await using fake = await FakeUpstream.start()
    await using secure = await startTls(fake)
    const { layer } = fake.putImage('library/app', '1', [100_000])
    const path = `/v2/library/app/blobs/${layer.digest}`
    const moved = `https://localhost:${secure.port}/moved`
    fake.on(/^GET .*blobs/, () => reply(307, { location: moved }, ''))
    fake.content.set('/moved', { bytes: layer.bytes, headers: {} })
    await using cache = await startCache({ url: `https://127.0.0.1:${secure.port}` })
    const refused = await cache.get('manifests/1')
    expect([refused.status, fake.log.length]).toEqual([503, 0])
    await cache.restart({ upstream: `ca = "${secure.ca}"` })
    expect((await cache.get('manifests/1')).status).toBe(200)
    const response = await cache.get(`blobs/${layer.digest}`)
    expect(Buffer.from(await response.bytes()).equals(layer.bytes)).toBe(true)
    expect(fake.requests(/^GET .*(blobs|moved)/).map((request) => request.path)).toEqual([path, '/moved'])
  })
})

describe('cache: the setting "proxy" of an upstream', () => {
  test('sends its requests there, with the name of the registry', async () => {
    await using proxy = await FakeUpstream.start()
    proxy.putImage('library/app', '1')
    const { bytes, headers } = proxy.content.get('/v2/library/app/manifests/1') ?? { bytes: Buffer.of() }
    proxy.on(/registry\.invalid/, () => reply(200, { ...headers }, bytes))
    await using cache = await startCache({
      url: 'http://registry.invalid',
      upstream: `proxy = "${proxy.url}"`,
    })
    expect((await cache.get('manifests/1')).status).toBe(200)
    expect(proxy.log.map(({ path }) => path)).toEqual(['http://registry.invalid/v2/library/app/manifests/1'])
  })

  test('with "none" ignores the proxy of the environment', async () => {
    await using proxy = await FakeUpstream.start()
    await using cache = await startCache({ upstream: 'proxy = "none"' })
    cache.fake.putImage('library/app', '1')
    const { all_proxy, NO_PROXY, no_proxy } = process.env
    try {
      // The test's own requests to cay need no proxy.
      const { host } = new URL(cache.server.url)
      Object.assign(process.env, { all_proxy: proxy.url, NO_PROXY: host, no_proxy: '' })
      expect((await cache.get('manifests/1')).status).toBe(200)
      expect(proxy.log).toEqual([])
    } finally {
      for (const [name, value] of Object.entries({ all_proxy, NO_PROXY, no_proxy })) {
        if (value === undefined) delete process.env[name]
        else process.env[name] = value
      }
    }
  })
})

describe('cache: the setting "redirects" of an upstream', () => {
  test('allows a redirect to a host with an address that is refused without it', async () => {
    await using proxy = await FakeUpstream.start()
    await using storage = await FakeUpstream.start()
    const location = `${storage.url}/blob`
    proxy.on(/registry\.invalid/, ({ method }) =>
      method === 'HEAD' ? reply(200, { 'content-length': '100000' }, '', true) : reply(307, { location }, ''),
    )
    proxy.on(/\/blob$/, () => reply(200, {}, blob.bytes))
    const settings = `proxy = "${proxy.url}"`
    await using cache = await startCache({ url: 'http://registry.invalid', upstream: settings })
    const refused = await cache.get(BLOB)
    expect(refused.status).toBe(502)
    expect(await refused.text()).toContain('loopback address')
    await cache.restart({ upstream: `${settings}\nredirects = ["127.0.0.1"]` })
    const response = await cache.get(BLOB)
    expect(Buffer.from(await response.bytes()).equals(blob.bytes)).toBe(true)
    expect(proxy.requests(/\/blob$/).map(({ path }) => path)).toEqual([location])
    expect(storage.log).toEqual([])
  })
})
