import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AccountsServer, basic, bearer, PASSWORD, startWithAccounts } from '../support/accounts.ts'
import { expectStatus, pushImage } from '../support/push.ts'
import { oldImage } from '../support/v1.ts'

let server: AccountsServer
let token: string
beforeAll(async () => {
  server = await startWithAccounts({ settings: { 'trusted-proxies': '127.0.0.1' } })
  await server.addUser('alice')
  await server.addUser('bob')
  token = (await server.addToken('alice')).secret
  const { manifest, blobs } = oldImage()
  const admin = server.as(basic('admin'))
  for (const name of ['alice/app', 'public/app'])
    await pushImage(admin, name, manifest, blobs, { reference: 'v' })
  await server.grant('anonymous', 'public/**', 'reader')
})
afterAll(() => server.stop())

const post = (body: unknown) =>
  server.fetch('/v1/users/', {
    method: 'POST',
    headers: { 'content-type': 'application/json; charset=utf-8' },
    body: JSON.stringify(body),
  })

describe('docker v1: a login', () => {
  test('starts with the answer that the account exists', async () => {
    for (const password of [PASSWORD, token]) {
      const response = await post({ username: 'alice', password, email: 'alice@example.org' })
      expect([response.status, await response.text()]).toEqual([400, '"Username or email already exists"'])
    }
  })

  test.each([
    ['alice', 'wrong-password', 'login-failure'],
    ['nobody', PASSWORD, 'login-failure'],
    ['alice+ci', 'wrong-password', 'robot-login-failure'],
    ['alice', 'cay_wrong', 'invalid-access-token'],
  ])('fails: %s, %s', async (username, password, issue) => {
    const response = await post({ username, password })
    expect(response.status).toBe(400)
    expect(await response.json()).toEqual({ error: expect.stringMatching(/wrong/), issue })
  })

  test.each([[[]], [{}], [{ username: 'alice' }], ['x'], [null]])(
    'with the body %j is malformed',
    async (body) => {
      expect((await post(body)).status).toBe(400)
    },
  )

  test('ends with the account name', async () => {
    const response = await server.as(basic('alice')).fetch('/v1/users/')
    expect(await response.json()).toEqual({ username: 'alice', email: null })
  })
})

test('docker v1: an account can change only its own password', async () => {
  const put = (authorization: string, name: string, password: string) =>
    server
      .as(authorization)
      .fetch(`/v1/users/${name}/`, { method: 'PUT', body: JSON.stringify({ password }) })
  expect((await put(basic('bob'), 'alice', 'another-password')).status).toBe(403)
  expect((await put(basic('bob'), 'bob', 'short')).status).toBe(400)
  expect((await put(basic('bob'), 'bob', 'another-password')).status).toBe(204)
  expect((await server.as(basic('bob')).fetch('/v1/users/')).status).toBe(401)
  expect((await server.as(basic('bob', 'another-password')).fetch('/v1/users/')).status).toBe(200)
})

describe('docker v1: a pull session', () => {
  const images = (name: string, authorization: string | undefined, headers: Record<string, string> = {}) =>
    server.as(authorization).fetch(`/v1/repositories/${name}/images`, { headers })

  test('has a token if requested, and a cookie', async () => {
    const response = await images('alice/app', basic('alice'), { 'X-Docker-Token': 'true' })
    const value = response.headers.get('x-docker-token')
    expect(value).toMatch(/^signature=[\w.-]+,repository="alice\/app",access=read$/)
    expect(response.headers.get('www-authenticate')).toBe(`Token ${value}`)
    expect(response.headers.get('set-cookie')).toMatch(
      /^cay-v1=[\w.-]+; Path=\/v1\/; Max-Age=\d+; HttpOnly; SameSite=Strict$/,
    )
  })

  test('has a Secure cookie with HTTPS', async () => {
    const response = await images('alice/app', basic('alice'), { 'x-forwarded-proto': 'https' })
    expect(response.headers.get('set-cookie')).toMatch(/; Secure(?:;|$)/)
    expect(response.headers.get('x-docker-token')).toBeNull()
  })

  test('is not given to anonymous callers', async () => {
    const response = await images('public/app', undefined, { 'X-Docker-Token': 'true' })
    expect([
      response.status,
      response.headers.get('x-docker-token'),
      response.headers.get('set-cookie'),
    ]).toEqual([200, null, null])
  })

  test('accepts the empty token of a client that got none', async () => {
    const { status } = await server.as('Token ').fetch('/v1/repositories/public/app/tags')
    expect(status).toBe(200)
  })

  test('cannot be exchanged for another one', async () => {
    const first = await images('alice/app', basic('alice'), { 'X-Docker-Token': 'true' })
    const token = `Token ${first.headers.get('x-docker-token')}`
    const second = await images('alice/app', token, { 'X-Docker-Token': 'true' })
    expect([second.status, second.headers.get('x-docker-token'), second.headers.get('set-cookie')]).toEqual([
      200,
      null,
      null,
    ])
  })

  test('ends with its grant', async () => {
    await server.addUser('carol')
    await server.grant('carol', 'alice/**', 'reader')
    const first = await images('alice/app', basic('carol'), { 'X-Docker-Token': 'true' })
    const token = `Token ${first.headers.get('x-docker-token')}`
    expect((await images('alice/app', token)).status).toBe(200)
    await server.admin('PATCH', '/users/carol', { disabled: true })
    expect((await images('alice/app', token)).status).toBe(401)
  })

  test('ends when the password changes', async () => {
    await server.addUser('dora')
    const first = await images('dora/app', basic('dora'), { 'X-Docker-Token': 'true' })
    expect(first.status).toBe(404)
    await pushImage(server.as(basic('dora')), 'dora/app', oldImage().manifest, oldImage().blobs, {
      reference: 'v',
    })
    const { headers } = await images('dora/app', basic('dora'), { 'X-Docker-Token': 'true' })
    const token = `Token ${headers.get('x-docker-token')}`
    const other = (await server.addToken('dora')).secret
    const byToken = await images('dora/app', bearer(other), { 'X-Docker-Token': 'true' })
    await server.admin('PATCH', '/users/dora', { password: 'another-password' })
    expect((await images('dora/app', token)).status).toBe(401)
    expect((await images('dora/app', `Token ${byToken.headers.get('x-docker-token')}`)).status).toBe(200)
  })
})

describe('docker v1: a shared cache', () => {
  const pathsOf = async (name: string) => {
    const admin = server.as(basic('admin'))
    const id = await (await expectStatus(await admin.fetch(`/v1/repositories/${name}/tags/v`), 200)).json()
    const nouns = ['json', 'ancestry', 'layer'].map((noun) => `/v1/images/${id}/${noun}`)
    return [`/v1/repositories/${name}/images`, `/v1/repositories/${name}/tags`, ...nouns]
  }

  test.each([
    ['stores what anyone may pull', 'public/app', 'public, '],
    ['stores nothing else', 'alice/app', 'private, '],
  ])('%s', async (_, name, directive) => {
    // With a token, because a password would start a session.
    const token = bearer(await server.tokenFor(basic('admin'), `repository:${name}:pull`))
    for (const path of await pathsOf(name)) {
      const { headers } = await server.as(token).fetch(path)
      expect([path, headers.get('cache-control')?.slice(0, directive.length)]).toEqual([path, directive])
      expect(headers.get('vary')).toBe('Authorization, Cookie')
    }
    const refused = await server.fetch('/v1/repositories/alice/app/tags')
    expect([refused.status, refused.headers.get('cache-control')]).toEqual([401, 'no-store'])
  })

  test('never stores a response with a session', async () => {
    const { headers } = await server.as(basic('alice')).fetch('/v1/repositories/public/app/images')
    expect(headers.get('set-cookie')).toStartWith('cay-v1=')
    expect(headers.get('cache-control')).toBe('no-store')
  })
})
