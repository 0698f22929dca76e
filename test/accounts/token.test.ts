import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AccountsServer, basic, bearer, startWithAccounts } from '../support/accounts.ts'

interface Answer {
  token: string
  access_token: string
  expires_in: number
  issued_at: string
  scope: string
  refresh_token?: string
}

let clock = Date.UTC(2026, 0, 1)
let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock, settings: { 'trusted-proxies': '127.0.0.1' } })
  await server.addUser('alice')
}, 60_000)
afterAll(() => server.stop())

const get = async (query: string, authorization?: string) =>
  await server.as(authorization).fetch(`/token${query}`)
const post = async (form: Record<string, string>) =>
  await server.fetch('/token', { method: 'POST', body: new URLSearchParams(form) })

test('token: without the scope of the catalog, the challenge names it, as podman search needs', async () => {
  const token = await server.tokenFor(basic('alice'), 'repository:alice/app:pull')
  const response = await server.as(bearer(token)).fetch('/v2/_catalog')
  expect(response.status).toBe(401)
  const challenge = response.headers.get('www-authenticate')
  expect(challenge).toContain('scope="registry:catalog:*"')
  expect(challenge).toEndWith(',error="insufficient_scope"')
})

describe('GET /token', () => {
  test('token: a token has the requested scopes that the account has', async () => {
    const scopes = ['alice/app:pull,push', 'alice/b:pull bob/c:pull'].map((one) => `scope=repository:${one}`)
    const query = `?service=any&account=alice&client_id=docker&${scopes.join('&').replace(' bob', ' repository:bob')}`
    const response = await get(query, basic('alice'))
    expect([response.status, response.headers.get('cache-control')]).toEqual([200, 'no-store'])
    const answer = (await response.json()) as Answer
    expect(answer).toMatchObject({
      access_token: answer.token,
      expires_in: 300,
      issued_at: '2026-01-01T00:00:00.000Z',
      scope: 'repository:alice/app:pull,push repository:alice/b:pull repository:bob/c:',
    })
    expect(answer.refresh_token).toBeUndefined()
  })

  test.each(['', '?scope=', '?scope=nonsense'])(
    '%j is a token for the base, for docker login',
    async (query) => {
      const { token } = (await (await get(query, basic('alice'))).json()) as Answer
      expect((await server.as(bearer(token)).fetch('/v2/')).status).toBe(200)
    },
  )

  test('token: an anonymous client gets a token for public repositories', async () => {
    await server.grant('anonymous', 'alice/public', 'reader')
    const token = await server.tokenFor(undefined, 'repository:alice/public:pull,push')
    expect((await server.as(bearer(token)).fetch('/v2/alice/public/tags/list')).status).toBe(404)
    const push = await server.as(bearer(token)).fetch('/v2/alice/public/blobs/uploads/', { method: 'POST' })
    expect(push.status).toBe(401)
  })

  test.each([
    ['a wrong password', basic('alice', 'wrong-password')],
    ['nobody', basic('zoe')],
    ['no scheme', 'alice'],
    ['another scheme', 'Digest username=alice'],
    ['Basic without a colon', `Basic ${Buffer.from('alice').toString('base64')}`],
  ])('%s is 401, with no challenge that clients would follow', async (_, authorization) => {
    const response = await get('', authorization)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toBe(null)
    expect(((await response.json()) as { errors: object[] }).errors).toMatchObject([{ code: 'UNAUTHORIZED' }])
  })

  test('a bearer token cannot be exchanged for another token', async () => {
    const token = await server.tokenFor(basic('alice'), 'repository:alice/app:pull')
    expect((await get('?scope=repository:alice/app:push', bearer(token))).status).toBe(401)
  })

  test('token: docker login gets no refresh token, which podman could not read from the same file', async () => {
    const answer = (await (await get('?offline_token=true', basic('alice'))).json()) as Answer
    expect(answer.refresh_token).toBeUndefined()
  })
})

describe('POST /token', () => {
  const password = { grant_type: 'password', username: 'alice', password: 'correct-horse' }

  test('token: accepts a password, and then the refresh token that it returned', async () => {
    const first = await post({ ...password, access_type: 'offline', scope: 'repository:alice/a:pull' })
    expect(first.status).toBe(200)
    const { refresh_token = '' } = (await first.json()) as Answer
    const form = {
      grant_type: 'refresh_token',
      refresh_token,
      scope: 'repository:alice/a:push repository:b:pull',
    }
    const second = (await (await post(form)).json()) as Answer
    expect(second).toMatchObject({ scope: 'repository:alice/a:push repository:b:', expires_in: 300 })
    const principal = server.as(bearer(second.access_token))
    expect((await principal.fetch('/v2/alice/a/blobs/uploads/', { method: 'POST' })).status).toBe(202)
  })

  test('token: a client with a token as its password gets no refresh token', async () => {
    const { secret } = await server.addToken('alice')
    const answer = await post({ ...password, password: secret, access_type: 'offline' })
    expect(((await answer.json()) as Answer).refresh_token).toBeUndefined()
  })

  test('token: refresh tokens are listed with the name of their client, and can be revoked', async () => {
    await server.addUser('lister')
    const asked = { ...password, username: 'lister', access_type: 'offline', client_id: 'laptop' }
    const { refresh_token = '' } = (await (await post(asked)).json()) as Answer
    const path = '/accounts/lister/tokens'
    const { items } = await server.admin<{ items: { id: string; kind: string; name: string }[] }>('GET', path)
    expect(items).toMatchObject([
      { kind: 'refresh', name: 'laptop', createdAt: new Date(clock).toISOString() },
    ])
    await server.admin('DELETE', `${path}/${items[0]?.id}`)
    expect((await post({ grant_type: 'refresh_token', refresh_token })).status).toBe(401)
    expect(await server.admin<object>('GET', path)).toEqual({ items: [] })
  })

  test('token: the least recently used of 100 refresh tokens makes room for another', async () => {
    await server.addUser('busy')
    const asked = { ...password, username: 'busy', access_type: 'offline' }
    const login = async () => {
      clock += 1000
      return ((await (await post(asked)).json()) as Answer).refresh_token ?? ''
    }
    const use = async (refresh_token: string) =>
      (await post({ grant_type: 'refresh_token', refresh_token })).status
    const [first = '', second = ''] = [await login(), await login()]
    for (let n = 2; n < 100; n++) await login()
    clock += 1000
    expect(await use(first)).toBe(200)
    await login()
    expect(await Promise.all([first, second].map(use))).toEqual([200, 401])
  })

  test('token: a refresh token works only here, and expires', async () => {
    const { refresh_token = '' } = (await (
      await post({ ...password, access_type: 'offline' })
    ).json()) as Answer
    for (const authorization of [bearer(refresh_token), basic('alice', refresh_token)]) {
      expect((await server.as(authorization).fetch('/v2/')).status).toBe(401)
    }
    clock += 91 * 86_400_000
    expect((await post({ grant_type: 'refresh_token', refresh_token })).status).toBe(401)
  })

  test.each<[Record<string, string>, number]>([
    [{}, 400],
    [{ grant_type: 'client_credentials' }, 400],
    [{ grant_type: 'password' }, 401],
    [{ grant_type: 'refresh_token' }, 401],
    [{ grant_type: 'refresh_token', refresh_token: 'cay_other' }, 401],
    [{ ...password, password: 'wrong-password' }, 401],
  ])('%j is %d', async (form, status) => {
    const response = await post(form)
    expect(response.status).toBe(status)
    const text = await response.text()
    expect(text).not.toContain('wrong-password')
    expect(Object.keys(JSON.parse(text))).toEqual(['errors'])
  })

  test('token: accepts only forms, of up to 64 KiB', async () => {
    const send = async (type: string, body: string) =>
      (await server.fetch('/token', { method: 'POST', body, headers: { 'content-type': type } })).status
    expect(await send('application/json', JSON.stringify(password))).toBe(415)
    expect(await send('application/x-www-form-urlencoded', `x=${'y'.repeat(65_536)}`)).toBe(413)
  })
})

test('sign-in: guessing delays further attempts, and the account can sign in after that', async () => {
  await server.addUser('victim')
  const guess = async (from: string, password?: string) => {
    const headers = { authorization: basic('victim', password), 'x-forwarded-for': from }
    return await server.fetch('/v2/', { headers })
  }
  for (let count = 0; count < 6; count++) {
    expect((await guess(`198.51.100.${count}`, `guess-number-${count}`)).status).toBe(401)
  }
  const refused = await guess('198.51.100.99')
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '2'])
  expect(((await refused.json()) as { errors: object[] }).errors).toMatchObject([{ code: 'TOOMANYREQUESTS' }])
  clock += 2000
  expect((await guess('198.51.100.99')).status).toBe(200)
  const { items } = await server.admin<{ items: { account?: string; address: string; count?: number }[] }>(
    'GET',
    '/audit?kind=failed-sign-in',
  )
  expect(items.filter(({ account }) => account === 'victim')).toMatchObject(
    [5, 4, 3, 2, 1, 0].map((at) => ({ address: `198.51.100.${at}`, target: 'password', count: 1 })),
  )
})

test('sign-in: guesses from elsewhere do not delay an address that has signed in before, and an admin can unlock the account', async () => {
  await server.addUser('locked')
  const signIn = async (from: string, password?: string) => {
    const headers = { authorization: basic('locked', password), 'x-forwarded-for': from }
    return (await server.fetch('/v2/', { headers })).status
  }
  expect(await signIn('203.0.113.1')).toBe(200)
  for (let count = 0; count < 12; count++) await signIn(`198.51.100.${count}`, `guess-number-${count}`)
  clock += 61_000
  for (let count = 0; count < 12; count++) await signIn(`198.51.100.${count}`, `guess-number-${count}`)
  expect(await signIn('203.0.113.2')).toBe(429)
  expect(await signIn('203.0.113.1')).toBe(200)
  await server.admin('POST', '/users/locked/unlock')
  expect(await signIn('203.0.113.2')).toBe(200)
  const { items } = await server.admin<{ items: object[] }>('GET', '/audit?limit=1')
  expect(items).toMatchObject([{ action: 'user.unlock', target: 'locked', account: 'admin' }])
})

test('sign-in: concurrent requests with the same correct password count as one attempt', async () => {
  await server.addUser('busy')
  const all = Array.from({ length: 20 }, () => server.as(basic('busy')).fetch('/v2/'))
  expect((await Promise.all(all)).map(({ status }) => status)).toEqual(all.map(() => 200))
})

test('signing keys: a new key signs at once, and tokens of the old one stay valid', async () => {
  const old = await server.tokenFor(basic('alice'), 'repository:alice/app:pull')
  const { id } = await server.admin<{ id: string }>('POST', '/signing-keys')
  const fresh = await server.tokenFor(basic('alice'), 'repository:alice/app:pull')
  expect(JSON.parse(Buffer.from(fresh.split('.')[0] ?? '', 'base64url').toString()).kid).toBe(id)
  for (const token of [old, fresh]) {
    expect((await server.as(bearer(token)).fetch('/v2/alice/app/tags/list')).status).toBe(404)
  }
})

test('signing keys: revoking the old key at once invalidates its tokens, also recently used ones', async () => {
  const old = await server.tokenFor(basic('alice'), 'repository:alice/app:pull')
  const pull = async (token: string) =>
    (await server.as(bearer(token)).fetch('/v2/alice/app/tags/list')).status
  expect(await pull(old)).toBe(404)
  const { othersExpireAt } = await server.admin<{ othersExpireAt: string }>(
    'POST',
    '/signing-keys?revokeOthers=true',
  )
  expect(Date.parse(othersExpireAt)).toBe(clock)
  expect(await pull(old)).toBe(401)
  expect(await pull(await server.tokenFor(basic('alice'), 'repository:alice/app:pull'))).toBe(404)
  expect(await server.admin<{ items: object[] }>('GET', '/signing-keys')).toMatchObject({ items: [{}] })
})

test('log: it contains no secret', () => {
  const text = JSON.stringify(server.log())
  expect(text).not.toMatch(/correct-horse|wrong-password|guess-number|cay_|eyJ|Basic /)
})
