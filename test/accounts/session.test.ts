import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, PASSWORD, startWithAccounts } from '../support/accounts.ts'
import { startInProcess } from '../support/server.ts'

let clock = Date.UTC(2026, 0, 1)
let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock })
  await server.addUser('alice')
}, 60_000)
afterAll(() => server.stop())

const CHANGE = { method: 'PUT', headers: { 'content-type': 'application/json' } }

interface Session {
  account: string
  csrfToken: string
  /** `name=secret`, as the browser sends it. */
  cookie: string
  setCookie: string
}

async function signIn(headers: Record<string, string> = {}, name = 'alice', password = PASSWORD) {
  return await server.fetch('/api/v1/session', {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ username: name, password }),
  })
}

async function begin(headers?: Record<string, string>, name?: string): Promise<Session> {
  const response = await signIn(headers, name)
  expect(response.status).toBe(201)
  const setCookie = response.headers.get('set-cookie') ?? ''
  const { account, csrfToken } = (await response.json()) as Session
  return { account, csrfToken, setCookie, cookie: setCookie.split(';')[0] ?? '' }
}

const statusOf = async (path: string, init: RequestInit) =>
  (await server.fetch(`/api/v1${path}`, init)).status

test('sessions: a browser signs in, is recognized by its cookie, and signs out', async () => {
  const { account, csrfToken, setCookie, cookie } = await begin()
  expect(setCookie).toMatch(/^cay-session=cay_[\w-]{43}; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/)
  const shown = await server.fetch('/api/v1/session', { headers: { cookie: `other=1; ${cookie}` } })
  expect(await shown.json()).toEqual({
    account,
    csrfToken,
    admin: false,
    expiresAt: new Date(clock + 12 * 3_600_000).toISOString(),
  })
  expect(await statusOf('/users/alice', { headers: { cookie } })).toBe(200)
  expect(await statusOf('/users', { headers: { cookie } })).toBe(403)
  expect(await server.admin('GET', '/accounts/alice/tokens')).toEqual({ items: [] })
  const end = { method: 'DELETE', headers: { cookie, 'x-csrf-token': csrfToken } }
  const ended = await server.fetch('/api/v1/session', end)
  expect(ended.headers.get('set-cookie')).toStartWith('cay-session=; Path=/; Max-Age=0;')
  expect(await statusOf('/session', { headers: { cookie } })).toBe(401)
  expect(await statusOf('/users/alice', { headers: { cookie } })).toBe(401)
})

test('sessions: behind TLS, the cookie is Secure and bound to this host', async () => {
  await using behind = await startWithAccounts({ settings: { 'trusted-proxies': '127.0.0.1' } })
  const headers = { 'content-type': 'application/json', 'x-forwarded-proto': 'https' }
  const body = JSON.stringify({ username: 'admin', password: PASSWORD })
  const response = await behind.fetch('/api/v1/session', { method: 'POST', headers, body })
  const setCookie = response.headers.get('set-cookie') ?? ''
  expect(setCookie).toMatch(/^__Host-cay-session=\S+; Path=\/; .*; Secure(?:;|$)/)
  const cookie = setCookie.split(';')[0] ?? ''
  const read = { headers: { cookie, 'x-forwarded-proto': 'https' } }
  expect((await behind.fetch('/api/v1/session', read)).status).toBe(200)
  expect((await behind.fetch('/api/v1/session', { headers: { cookie } })).status).toBe(401)
})

test('sessions: neither a wrong password nor a token starts one', async () => {
  expect((await signIn({}, 'alice', 'wrong-horse')).status).toBe(401)
  const { secret } = await server.addToken('alice')
  const refused = await signIn({}, 'alice', secret)
  expect([refused.status, refused.headers.get('set-cookie')]).toEqual([401, null])
})

test('sessions: failed logins are rate-limited', async () => {
  await server.addUser('bob')
  const statuses: number[] = []
  for (let at = 0; at < 7; at++) statuses.push((await signIn({}, 'bob', 'wrong-horse')).status)
  expect(statuses).toEqual([401, 401, 401, 401, 401, 401, 429])
  expect((await signIn({}, 'bob')).headers.get('retry-after')).toMatch(/^\d+$/)
})

test("sessions: a change needs the session's CSRF token", async () => {
  const { csrfToken, cookie } = await begin()
  const put = (headers: Record<string, string>) =>
    statusOf('/robots/alice%2Bci', { ...CHANGE, headers: { ...CHANGE.headers, cookie, ...headers } })
  expect(await put({})).toBe(403)
  expect(await put({ 'x-csrf-token': '' })).toBe(403)
  expect(await put({ 'x-csrf-token': (await begin()).csrfToken })).toBe(403)
  expect(await put({ 'x-csrf-token': csrfToken })).toBe(201)
  expect((await signIn({ cookie })).status).toBe(201)
})

test('sessions: a page of another site cannot change anything, whatever credentials the browser sends', async () => {
  const { csrfToken, cookie } = await begin()
  const { host } = new URL(server.url)
  const put = (headers: Record<string, string>) =>
    statusOf('/robots/alice%2Bci', { ...CHANGE, headers: { ...CHANGE.headers, ...headers } })
  const session = { cookie, 'x-csrf-token': csrfToken }
  for (const credential of [session, { authorization: basic('alice') }]) {
    for (const site of ['cross-site', 'same-site']) {
      expect(await put({ ...credential, 'sec-fetch-site': site, origin: `http://${host}` })).toBe(403)
    }
    for (const origin of ['https://evil.example', 'null'])
      expect(await put({ ...credential, origin })).toBe(403)
    expect(await put({ ...credential, origin: `http://${host}` })).toBe(200)
    expect(await put({ ...credential, 'sec-fetch-site': 'same-origin' })).toBe(200)
  }
  expect((await signIn({ 'sec-fetch-site': 'cross-site' })).status).toBe(403)
})

test('sessions: one ends when it expires, the password changes, or the user is disabled', async () => {
  const isGood = async ({ cookie }: Session) => (await statusOf('/session', { headers: { cookie } })) === 200
  const first = await begin()
  clock += 12 * 3_600_000 - 1
  expect(await isGood(first)).toBe(true)
  clock += 1
  expect(await isGood(first)).toBe(false)
  const second = await begin()
  await server.admin('PATCH', '/users/alice', { password: PASSWORD })
  expect(await isGood(second)).toBe(false)
  const third = await begin()
  await server.admin('PATCH', '/users/alice', { disabled: true })
  await server.admin('PATCH', '/users/alice', { disabled: false })
  expect(await isGood(third)).toBe(false)
})

test('sessions: the request of a script does not open the login dialog of the browser', async () => {
  const challenge = async (mode: string) => {
    const response = await server.fetch('/api/v1/users', { headers: { 'sec-fetch-mode': mode } })
    return response.headers.get('www-authenticate')
  }
  expect(await challenge('cors')).toBe('Bearer realm="cay"')
  expect(await challenge('navigate')).toStartWith('Basic')
})

test('sessions: only the newest of an account are kept', async () => {
  const first = await begin()
  clock += 1
  for (let at = 0; at < 100; at++) await begin()
  expect(await statusOf('/session', { headers: { cookie: first.cookie } })).toBe(401)
})

test('sessions: shared caches may not store the responses', async () => {
  const { cookie } = await begin()
  const answer = await server.fetch('/api/v1/users/alice', { headers: { cookie } })
  expect(answer.headers.get('cache-control')).toBe('private, no-cache')
  expect(answer.headers.get('vary')).toBe('authorization, cookie')
  expect((await server.fetch('/api/v1/session', { headers: { cookie } })).headers.get('cache-control')).toBe(
    'no-store',
  )
  const again = { headers: { cookie, 'if-none-match': answer.headers.get('etag') ?? '' } }
  const known = await server.fetch('/api/v1/users/alice', again)
  expect([known.status, known.headers.get('cache-control')]).toEqual([304, 'private, no-cache'])
})

test('caller: it describes anonymous callers, accounts and sessions', async () => {
  const ask = async (headers: Record<string, string>) =>
    await (await server.fetch('/api/v1/caller', { headers })).json()
  expect(await ask({})).toEqual({ admin: false, openAccess: false, catalogAccess: false })
  const alice = { account: 'alice', admin: false, openAccess: false, catalogAccess: true }
  expect(await ask({ authorization: basic('alice') })).toEqual(alice)
  const { cookie, csrfToken } = await begin()
  const expiresAt = new Date(clock + 12 * 3_600_000).toISOString()
  expect(await ask({ cookie })).toEqual({ ...alice, session: { expiresAt, csrfToken } })
  await using open = await startInProcess()
  const anybody = { admin: true, openAccess: true, catalogAccess: true }
  expect(await (await open.fetch('/api/v1/caller', { headers: { cookie } })).json()).toEqual(anybody)
})
