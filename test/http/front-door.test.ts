import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { AllowedHosts, FrontDoor } from '../../src/http/front-door.ts'
import { exchangeRaw } from '../support/raw-request.ts'
import { SERVERS, type TestServer } from '../support/server.ts'

const JSON_HEAD = ['Host: localhost', 'Content-Type: application/json']

for (const [kind, start] of SERVERS) {
  describe(`front door, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      server = await start({ settings: { access: 'accounts' }, adminPassword: 'correct-horse-battery' })
    }, 60_000)
    afterAll(() => server.stop())

    test.each([
      ['POST', '/api/v1/session'],
      ['POST', '/token'],
      ['POST', '/v1/users/'],
      ['PUT', '/v2/a/manifests/1'],
      ['PATCH', '/v2/a/blobs/uploads/1'],
      ['GET', '/livez'],
      ['GET', '/swagger'],
    ])(
      '%s %s with two equal Content-Length headers is 400, and nobody waits behind it',
      async (method, path) => {
        const length = 'Content-Length: 2'
        const answer = await exchangeRaw(server.url, [
          `${method} ${path} HTTP/1.1`,
          ...JSON_HEAD,
          length,
          length,
          '',
          '{}',
        ])
        expect(answer).toStartWith('HTTP/1.1 400')
        expect(answer).toContain('Content-Length')
        const body = JSON.stringify({ username: 'admin', password: 'correct-horse-battery' })
        const headers = { 'content-type': 'application/json' }
        const session = await server.fetch('/api/v1/session', { method: 'POST', headers, body })
        expect(session.status).toBe(201)
      },
    )

    test.each([
      ['two', ['Host: a.example', 'Host: b.example']],
      ['one with a path', ['Host: a.example/x']],
      ['one with a space', ['Host: a b']],
      ['one with a quote', ['Host: a"b']],
      ['one that is a number too large for an address', ['Host: 99999999999999999999']],
      ['one with a port too large', ['Host: a.example:99999']],
    ])('a request with %s Host headers is 400', async (_, hosts) => {
      const answer = await exchangeRaw(server.url, ['GET /livez HTTP/1.1', ...hosts, '', ''])
      expect(answer).toStartWith('HTTP/1.1 400')
      expect(answer).toContain('Host')
    })

    test('HTTP/1.0 without a Host gets a response, because health checks of proxies send it', async () => {
      const answer = await exchangeRaw(server.url, ['GET /livez HTTP/1.0', '', ''])
      expect(answer).toStartWith('HTTP/1.1 200')
      expect(await exchangeRaw(server.url, ['GET /v2/ HTTP/1.0', '', ''])).toStartWith('HTTP/1.1 401')
    })

    test('CONNECT gets 400, because its target is not a path', async () => {
      const answer = await exchangeRaw(server.url, [
        'CONNECT a.example:443 HTTP/1.1',
        'Host: a.example',
        '',
        '',
      ])
      expect(answer).toStartWith('HTTP/1.1 400')
    })
  })

  describe(`access that is open, ${kind}`, () => {
    let server: TestServer
    beforeAll(async () => {
      const settings = { 'external-url': 'http://registry.example:5000', host: 'box.example' }
      server = await start({ settings })
    }, 60_000)
    afterAll(() => server.stop())

    test.each(['localhost:5000', '127.0.0.1', '[::1]:80', 'registry.example', 'box.example:1'])(
      'the Host %s is taken',
      async (host) => {
        const answer = await exchangeRaw(server.url, ['GET /v2/ HTTP/1.1', `Host: ${host}`, '', ''])
        expect(answer).toStartWith('HTTP/1.1 200')
      },
    )

    test.each(['GET /v2/_catalog', 'GET /api/v1/users', 'GET /livez'])(
      '%s by the name of another site that points here is 421',
      async (request) => {
        const answer = await exchangeRaw(server.url, [`${request} HTTP/1.1`, 'Host: evil.example', '', ''])
        expect(answer).toStartWith('HTTP/1.1 421')
        expect(answer).toContain('evil.example is not a name of this server')
      },
    )

    test('the log says that access is open', () => {
      expect(server.log().some(({ msg }) => String(msg).startsWith('access is open'))).toBe(true)
    })
  })
}

const door = (options: Partial<ConstructorParameters<typeof FrontDoor>[0]> = {}) =>
  new FrontDoor({ requestsPerClientMax: 2, hosts: undefined, hstsSeconds: 0, ...options })

const arrival = (client: string | undefined, origin = 'http://localhost') => ({
  request: new Request('http://localhost/v2/'),
  client: () => client,
  origin: () => origin,
  isOpen: () => false,
})

test('front door: one client has a maximum of requests in flight, and other clients and trusted proxies are not affected', async () => {
  const { promise, resolve } = Promise.withResolvers<Response>()
  const shared = door()
  const statusOf = async (client: string | undefined) =>
    (await shared.admit(arrival(client), () => new Response())).status
  const slow = [1, 2].map(() => shared.admit(arrival('192.0.2.1'), () => promise))
  const refused = await shared.admit(arrival('192.0.2.1'), () => new Response())
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1'])
  expect([await statusOf('192.0.2.2'), await statusOf(undefined)]).toEqual([200, 200])
  resolve(new Response())
  await Promise.all(slow)
  expect(await statusOf('192.0.2.1')).toBe(200)
})

test('front door: a refused request does not look at all those in flight again', async () => {
  let lookups = 0
  const counted = (client: string) => ({
    ...arrival(client),
    client() {
      lookups++
      return client
    },
  })
  const { promise, resolve } = Promise.withResolvers<Response>()
  const shared = door({ requestsPerClientMax: 3 })
  const clients = ['192.0.2.1', '192.0.2.1', '192.0.2.1', '192.0.2.2', '192.0.2.3']
  const slow = clients.map((client) => shared.admit(counted(client), () => promise))
  const asked = () => shared.admit(arrival('192.0.2.1'), () => new Response())
  const refused = await Promise.all(Array.from({ length: 10 }, asked))
  expect(refused.map(({ status }) => status)).toEqual(Array(10).fill(429))
  // One look-up when it arrives, and one when it is counted.
  expect(lookups).toBeLessThanOrEqual(2 * clients.length)
  resolve(new Response())
  await Promise.all(slow)
  expect((await asked()).status).toBe(200)
})

test('front door: a request that fails does not stay in flight', async () => {
  const shared = door({ requestsPerClientMax: 1 })
  const failing = shared.admit(arrival('192.0.2.1'), () => Promise.reject(new Error('it fails')))
  await failing.catch(() => {})
  expect((await shared.admit(arrival('192.0.2.1'), () => new Response())).status).toBe(200)
})

test('front door: HSTS is sent over HTTPS only, and only where it is set', async () => {
  const headerOf = async (seconds: number, origin: string) => {
    const answer = await door({ hstsSeconds: seconds }).admit(
      arrival(undefined, origin),
      () => new Response(),
    )
    return answer.headers.get('strict-transport-security')
  }
  expect(await headerOf(3600, 'https://registry.example')).toBe('max-age=3600')
  expect(await headerOf(3600, 'http://registry.example')).toBeNull()
  expect(await headerOf(0, 'https://registry.example')).toBeNull()
})

test('allowed hosts: addresses of other machines and names that only look like loopback are not among them', () => {
  const hosts = new AllowedHosts(['Box.example', '10.0.0.7'])
  const names = ['box.EXAMPLE:5000', '10.0.0.7', 'a.localhost', '::1', '127.9.9.9:1']
  expect(names.filter((name) => !hosts.includes(name))).toEqual([])
  const others = ['127.0.0.1.evil.example', 'localhost.evil.example', '10.0.0.8', '[::2]', '1127.0.0.1']
  expect(others.filter((name) => hosts.includes(name))).toEqual([])
})
