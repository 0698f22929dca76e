import { afterEach, beforeEach, expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { startCache } from '../support/cache.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { startInProcess, type TestServer, type TestServerOptions } from '../support/server.ts'
import { FakeUpstream, head, reply } from '../support/upstream.ts'

let resources: AsyncDisposableStack
let data: string
let server: TestServer
let fake: FakeUpstream
beforeEach(async () => {
  resources = new AsyncDisposableStack()
  data = resources.use(await temporaryFolder('upstreams')).path
  fake = resources.use(await FakeUpstream.start())
  server = await startInProcess({ data })
  resources.defer(() => server.stop())
})
afterEach(() => resources.disposeAsync())

const PATH = '/upstreams/up.example'

async function ask(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
  const response = await server.fetch(`/api/v1${path}`, {
    method,
    headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await response.text()
  return { status: response.status, text, etag: response.headers.get('etag') ?? '' }
}

async function restart(options: TestServerOptions = {}) {
  await server.stop()
  server = await startInProcess({ data, ...options })
}

const pull = async (reference = '1') =>
  (await server.fetch(`/v2/up.example/library/app/manifests/${reference}`)).status

test('upstreams: a new one works at once and after a restart, and a changed one uses its new URL', async () => {
  fake.putImage('library/app', '1')
  expect(await pull()).toBe(404)
  expect(await ask('PUT', PATH, { url: fake.url })).toMatchObject({ status: 201 })
  expect(await pull()).toBe(200)
  await restart()
  expect(JSON.parse((await ask('GET', '/upstreams')).text).items).toMatchObject([
    { name: 'up.example', url: `${fake.url}/`, state: 'up', credentialsSet: false },
  ])
  await using second = await FakeUpstream.start()
  second.putImage('library/app', '2')
  expect(await pull('2')).toBe(404)
  expect((await ask('PUT', PATH, { url: second.url })).status).toBe(200)
  expect(await pull('2')).toBe(200)
  expect((await ask('PUT', PATH, { url: second.url, offline: true })).status).toBe(200)
  expect(await pull('3')).toBe(503)
})

test('upstreams: the repositories of a removed one are kept and served, and accept pushes', async () => {
  const { manifest } = fake.putImage('library/app', '1')
  await ask('PUT', PATH, { url: fake.url })
  expect(await pull()).toBe(200)
  const asked = fake.log.length
  expect((await ask('DELETE', PATH)).status).toBe(204)
  expect((await ask('GET', PATH)).status).toBe(404)
  expect((await ask('DELETE', PATH)).status).toBe(404)
  expect(await pull()).toBe(200)
  expect(await pull(manifest.digest)).toBe(200)
  expect(await pull('2')).toBe(404)
  expect(fake.log.length).toBe(asked)
  await restart()
  expect(await pull()).toBe(200)
  await pushImage(server, 'up.example/library/app', imageManifest(EMPTY, []), [], { reference: 'own' })
  expect(await pull('own')).toBe(200)
})

test('upstreams: removing one ends its downloads and the responses that wait for them', async () => {
  const { layer } = fake.putImage('library/app', '1', [900_000])
  await ask('PUT', PATH, { url: fake.url })
  await pull()
  const never = new Promise<void>(() => {})
  fake.on(/^GET .*blobs/, () => [
    head(200, { 'content-length': String(layer.bytes.length) }),
    layer.bytes.subarray(0, 400_000),
    never,
  ])
  const response = await server.fetch(`/v2/up.example/library/app/blobs/${layer.digest}`)
  expect(response.status).toBe(200)
  expect((await ask('DELETE', PATH)).status).toBe(204)
  await expect(response.bytes()).rejects.toThrow()
  expect(JSON.parse((await ask('GET', '/cache/downloads')).text).items).toEqual([])
})

test('upstreams: a download continues with the new settings of its upstream', async () => {
  const { layer } = fake.putImage('library/app', '1', [900_000])
  await ask('PUT', PATH, { url: fake.url })
  await pull()
  const changed = Promise.withResolvers<void>()
  fake.on(/^GET .*blobs/, () => [
    head(200, { 'content-length': String(layer.bytes.length) }),
    layer.bytes.subarray(0, 400_000),
    changed.promise,
    'reset',
  ])
  const response = await server.fetch(`/v2/up.example/library/app/blobs/${layer.digest}`)
  await using second = await FakeUpstream.start()
  second.putBlob('library/app', layer)
  expect((await ask('PUT', PATH, { url: second.url })).status).toBe(200)
  changed.resolve()
  expect(Buffer.from(await response.bytes()).equals(layer.bytes)).toBe(true)
  expect(second.requests(/^GET .*blobs/)).toHaveLength(1)
})

test('upstreams: a name that local repositories begin with is refused, and the error lists them', async () => {
  await pushImage(server, 'up.example/mine', imageManifest(EMPTY, []), [], { reference: '1' })
  const refused = await ask('PUT', PATH, { url: fake.url })
  expect(refused.status).toBe(409)
  expect(refused.text).toContain('up.example/mine')
})

test('upstreams: a secret can be set but not read, and is dropped when the URL changes', async () => {
  const secret = { url: fake.url, username: 'me', password: 'a-secret' }
  expect((await ask('PUT', PATH, secret)).status).toBe(201)
  const kept = { url: fake.url, username: 'me', connections: 2 }
  expect((await ask('PUT', PATH, kept)).status).toBe(200)
  await restart()
  expect(JSON.parse((await ask('GET', PATH)).text)).toMatchObject({
    credentialsSet: true,
    settings: { username: 'me', connections: 2 },
  })
  const elsewhere = await ask('PUT', PATH, { ...kept, url: 'https://elsewhere.example' })
  expect([elsewhere.status, elsewhere.text]).toEqual([400, expect.stringContaining('give the password')])
  expect((await ask('PUT', PATH, { url: fake.url, token: 'another-secret' })).status).toBe(200)
  const shown = []
  for (const path of ['/upstreams', PATH, '/audit', '/server', '/events'])
    shown.push((await ask('GET', path)).text)
  const all = shown.join('') + JSON.stringify(server.log())
  expect(all).toContain('upstream.create')
  expect(all).toContain('upstream.change')
  expect(all).not.toMatch(/a-secret|another-secret/)
})

test('upstreams: the last check is shown until a restart or a change of the settings', async () => {
  await ask('PUT', PATH, { url: fake.url })
  const lastCheck = async () => {
    const { lastCheck } = JSON.parse((await ask('GET', PATH)).text)
    const { items } = JSON.parse((await ask('GET', '/upstreams')).text)
    expect(items[0].lastCheck).toEqual(lastCheck)
    return lastCheck
  }
  expect(await lastCheck()).toBeUndefined()
  const reached = JSON.parse((await ask('POST', `${PATH}/check`)).text)
  expect(reached.reachable).toBe(true)
  const first = await lastCheck()
  expect(first).toEqual({ ...reached, at: expect.stringMatching(/^\d{4}-.*Z$/) })
  fake.on(/GET \/v2\//, () => reply(401, { 'www-authenticate': 'Bearer realm="//me:a-secret@"' }, ''))
  const refused = JSON.parse((await ask('POST', `${PATH}/check`)).text)
  expect(refused).toMatchObject({ reachable: false, message: expect.stringContaining('//***@') })
  const second = await lastCheck()
  expect(second).toEqual({ ...refused, at: expect.any(String) })
  expect(Date.parse(second.at)).toBeGreaterThanOrEqual(Date.parse(first.at))
  await ask('PUT', PATH, { url: fake.url, connections: 2 })
  expect(await lastCheck()).toBeUndefined()
  await ask('POST', `${PATH}/check`)
  await restart()
  expect(await lastCheck()).toBeUndefined()
})

test('upstreams: a change checks its precondition', async () => {
  await ask('PUT', PATH, { url: fake.url }, { 'if-none-match': '*' })
  expect((await ask('PUT', PATH, { url: fake.url }, { 'if-none-match': '*' })).status).toBe(412)
  const { etag } = await ask('GET', PATH)
  expect((await ask('PUT', PATH, { url: fake.url, private: true }, { 'if-match': etag })).status).toBe(200)
  expect((await ask('DELETE', PATH, undefined, { 'if-match': etag })).status).toBe(412)
})

test('upstreams: one in cay.toml cannot be changed by the API, and the error names the file', async () => {
  await ask('PUT', PATH, { url: 'https://elsewhere.example' })
  await server.stop()
  await using cache = await startCache({ data })
  server = cache.server
  const file = `${data}/cay.toml`
  expect(JSON.parse((await ask('GET', PATH)).text)).toMatchObject({
    url: `${cache.fake.url}/`,
    configuredIn: file,
  })
  for (const [method, body] of [['PUT', {}], ['DELETE']] as const) {
    const refused = await ask(method, PATH, body)
    expect([refused.status, refused.text]).toEqual([409, expect.stringContaining(file)])
  }
})
