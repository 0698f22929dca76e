import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type AccountsServer, basic, bearer, PASSWORD, startWithAccounts } from '../support/accounts.ts'
import { startInProcess } from '../support/server.ts'

let clock = Date.UTC(2026, 0, 1)
let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts({ now: () => clock })
  for (const name of ['alice', 'bob']) await server.addUser(name)
}, 60_000)
afterAll(() => server.stop())

async function ask(authorization: string | undefined, method: string, path: string, body?: unknown) {
  const response = await server.as(authorization).fetch(`/api/v1${path}`, {
    method,
    ...(body !== undefined && {
      body: typeof body === 'string' ? body : JSON.stringify(body),
      headers: { 'content-type': 'application/json' },
    }),
  })
  const text = await response.text()
  return { status: response.status, text, json: JSON.parse(text || 'null'), headers: response.headers }
}

const user = { password: PASSWORD }

/** The expected statuses for anonymous, another user, alice herself, and a server admin. */
const ACTS: [method: string, path: string, body: unknown, statuses: number[]][] = [
  ['GET', '/users', undefined, [401, 403, 403, 200]],
  ['GET', '/users/alice', undefined, [401, 403, 200, 200]],
  ['PUT', '/users/new', user, [401, 403, 403, 201]],
  ['PATCH', '/users/alice', user, [401, 403, 200, 200]],
  ['PATCH', '/users/alice', { admin: false }, [401, 403, 403, 200]],
  ['PATCH', '/users/alice', { ...user, disabled: false }, [401, 403, 403, 200]],
  ['DELETE', '/users/new', undefined, [401, 403, 403, 204]],
  ['GET', '/robots', undefined, [401, 200, 200, 200]],
  ['PUT', '/robots/alice%2Bone', undefined, [401, 403, 201, 200]],
  ['GET', '/robots/alice%2Bone', undefined, [401, 403, 200, 200]],
  ['PATCH', '/robots/alice%2Bone', { disabled: false }, [401, 403, 200, 200]],
  ['GET', '/accounts/alice%2Bone/tokens', undefined, [401, 403, 200, 200]],
  ['POST', '/accounts/alice%2Bone/tokens', { name: 'x' }, [401, 403, 201, 201]],
  ['DELETE', '/accounts/alice%2Bone/tokens/none', undefined, [401, 403, 404, 404]],
  ['DELETE', '/robots/alice%2Bone', undefined, [401, 403, 204, 404]],
  ['POST', '/accounts/alice/tokens', { name: 'x' }, [401, 403, 201, 201]],
  ['GET', '/groups', undefined, [401, 403, 403, 200]],
  ['PUT', '/groups/team', undefined, [401, 403, 403, 201]],
  ['PATCH', '/groups/team', { add: ['alice'] }, [401, 403, 403, 200]],
  ['GET', '/groups/team', undefined, [401, 403, 403, 200]],
  ['DELETE', '/groups/team', undefined, [401, 403, 403, 204]],
  ['GET', '/grants', undefined, [401, 200, 200, 200]],
  ['PUT', '/grants', { subject: 'bob', pattern: 'alice/app', role: 'reader' }, [401, 403, 201, 200]],
  ['PUT', '/grants', { subject: 'bob', pattern: '**', role: 'reader' }, [401, 403, 403, 201]],
  ['PUT', '/grants', { subject: 'bob', pattern: '*/alice', role: 'reader' }, [401, 403, 403, 201]],
  ['DELETE', '/grants?subject=bob&pattern=alice/app', undefined, [401, 403, 204, 404]],
  ['DELETE', '/grants?subject=bob&pattern=**', undefined, [401, 403, 403, 204]],
  ['GET', '/signing-keys', undefined, [401, 403, 403, 200]],
  ['POST', '/signing-keys', undefined, [401, 403, 403, 201]],
  ['GET', '/audit', undefined, [401, 403, 403, 200]],
]

describe.each(ACTS)('%s %s %j', (method, path, body, statuses) => {
  const principals = [undefined, basic('bob'), basic('alice'), basic('admin')]
  test.each(principals.map((principal, at) => [principal, statuses[at] ?? 0] as const))(
    '%s: %d',
    async (principal, status) => {
      const answer = await ask(principal, method, path, body)
      expect([answer.status, answer.status === status ? '' : answer.text]).toEqual([status, ''])
      expect(answer.headers.get('x-request-id')).toMatch(/^[\w-]{8,}$/)
      expect(answer.headers.get('www-authenticate')).toBe(
        status === 401 ? 'Basic realm="cay", charset="UTF-8"' : null,
      )
      if (status >= 400)
        expect(Object.keys(answer.json)).toEqual(['type', 'title', 'status', 'detail', 'code'])
    },
  )
})

const TOKENS = '/accounts/alice/tokens'
const scoped = (pattern: string, role: string) => ({ name: 'x', scope: [{ pattern, role }] })

test.each([
  ['PUT', '/users/UPPER', user, 400, 'name: expected lowercase letters and digits, with '],
  ['PUT', '/users/a', { password: 'short' }, 400, 'password: expected 8 to 72 characters'],
  ['PUT', '/users/a', { password: 'x'.repeat(73) }, 400, 'password: expected'],
  ['PUT', '/users/a', {}, 400, 'at least 8 characters'],
  ['PUT', '/users/a', { passwordHash: '{SHA}x' }, 400, 'SHA-1'],
  ['PUT', '/users/a', '{', 400, 'not application/json'],
  ['PUT', '/users/anonymous', user, 400, 'is reserved'],
  ['PUT', '/users/authenticated', user, 400, 'is reserved'],
  ['PUT', '/users/system', user, 400, 'is reserved'],
  ['PUT', '/users/system', { passwordHash: 'as an import has it' }, 400, 'is reserved'],
  ['PUT', '/robots/nobody%2Bci', undefined, 404, 'no user'],
  ['PUT', '/robots/alice', undefined, 400, 'name: expected OWNER+NAME; at most 129 characters'],
  ['PATCH', '/users/nobody', { disabled: true }, 404, 'no user'],
  ['PATCH', '/groups/none', { add: ['alice'] }, 404, 'no group'],
  ['PUT', '/grants', { subject: 'nobody', pattern: '**', role: 'reader' }, 404, 'no account'],
  ['PUT', '/grants', { subject: 'group:none', pattern: '**', role: 'reader' }, 404, 'no group'],
  ['PUT', '/grants', { subject: 'alice', pattern: '**/**', role: 'reader' }, 400, 'pattern'],
  [
    'PUT',
    '/grants',
    { subject: 'alice', pattern: '**', role: 'owner' },
    400,
    'role: expected reader, writer or admin',
  ],
  ['PUT', '/grants', { subject: 'alice', pattern: '**' }, 400, 'role: is missing'],
  ['POST', TOKENS, { name: 'x', expiresInDays: 0 }, 400, 'expiresInDays: expected a whole number from 1 to '],
  ['POST', TOKENS, scoped('A', 'reader'), 400, 'pattern'],
  ['POST', TOKENS, scoped('a', 'owner'), 400, 'scope[0].role: expected reader, writer or admin'],
  ['POST', TOKENS, [], 400, 'name: is missing'],
  ['GET', '/users?limit=0', undefined, 400, 'limit: expected a whole number from 1 to 500'],
  ['GET', '/users?limit=x', undefined, 400, 'limit: expected a whole number from 1 to 500'],
  ['GET', '/repositories?deleted=maybe', undefined, 400, 'deleted: expected true or false'],
  ['PATCH', '/users/admin', { admin: false }, 409, 'no server admin'],
  ['PATCH', '/users/admin', { disabled: true }, 409, 'no server admin'],
  ['DELETE', '/users/admin', undefined, 409, 'no server admin'],
  ['GET', '/nothing', undefined, 404, 'no such endpoint'],
] as const)('%s %s %j is %d: %s', async (method, path, body, status, message) => {
  const answer = await ask(basic('admin'), method, path, body)
  expect([answer.status, answer.json.detail]).toEqual([status, expect.stringContaining(message)])
  expect(answer.text).not.toMatch(/src\/|\.ts|"found"|xxxx/)
})

test('accounts: a body of another type is 415, so that a page of another site cannot send one', async () => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x']) {
    const headers = { authorization: basic('admin'), 'content-type': type }
    const init = { method: 'PUT', headers, body: JSON.stringify(user) }
    expect((await server.fetch('/api/v1/users/forged', init)).status).toBe(415)
  }
})

test('accounts: a token with a scope cannot manage accounts', async () => {
  const scope = [{ pattern: '**', role: 'admin' }]
  const { secret } = await server.addToken('admin', { scope })
  expect((await ask(bearer(secret), 'GET', '/users')).status).toBe(403)
  const token = await server.tokenFor(basic('admin'), 'repository:a:pull')
  expect((await ask(bearer(token), 'GET', '/users')).status).toBe(403)
  const whole = await server.addToken('admin')
  expect((await ask(bearer(whole.secret), 'GET', '/users')).status).toBe(200)
})

test("accounts: an admin's robot is not an admin", async () => {
  await server.admin('PUT', '/robots/admin%2Bci')
  const robot = basic('admin+ci', (await server.addToken('admin+ci')).secret)
  expect((await ask(robot, 'GET', '/users')).status).toBe(403)
  expect((await ask(robot, 'PATCH', '/users/admin', user)).status).toBe(403)
})

test('grants: users see and change those in their own namespace', async () => {
  await server.grant('alice', 'bob/app', 'reader')
  await server.admin('PUT', '/robots/bob%2Bci')
  const grant = { subject: 'bob', pattern: 'alice/shared/**', role: 'writer' }
  expect((await ask(basic('alice'), 'PUT', '/grants', grant)).status).toBe(201)
  expect((await ask(basic('alice'), 'GET', '/grants')).json.items).toMatchObject([grant])
  expect((await ask(basic('alice'), 'GET', '/robots')).json.items).toEqual([])
  expect((await ask(basic('bob'), 'GET', '/robots')).json.items).toMatchObject([{ name: 'bob+ci' }])
  const push = await server.as(basic('bob')).fetch('/v2/alice/shared/x/blobs/uploads/', { method: 'POST' })
  expect(push.status).toBe(202)
})

test('accounts: lists are paginated', async () => {
  for (let at = 0; at < 101; at++) await server.admin('PUT', `/groups/g${String(at).padStart(3, '0')}`)
  const first = await server.admin<{ items: { name: string }[]; nextCursor: string }>(
    'GET',
    '/groups?cursor=g',
  )
  expect([first.items.length, first.nextCursor]).toEqual([50, 'g049'])
  const next = await server.admin<{ items: { name: string }[]; nextCursor: string }>(
    'GET',
    '/groups?cursor=g049&limit=1',
  )
  expect(next).toEqual({ items: [{ name: 'g050' }], nextCursor: 'g050' })
  expect(await server.admin('GET', '/groups?cursor=g099&limit=500')).toEqual({ items: [{ name: 'g100' }] })
  expect((await ask(basic('admin'), 'GET', '/groups?limit=0')).status).toBe(400)
})

test('tokens: the secret is shown once, and the list shows the last use', async () => {
  const { id, secret } = await server.addToken('bob', { name: 'laptop', expiresInDays: 2 })
  await server.as(basic('bob', secret)).fetch('/v2/')
  const { text, json } = await ask(basic('bob'), 'GET', '/accounts/bob/tokens')
  expect(text).not.toContain(secret)
  expect(json.items).toContainEqual({
    id,
    kind: 'token',
    name: 'laptop',
    createdAt: new Date(clock).toISOString(),
    expiresAt: new Date(clock + 2 * 86_400_000).toISOString(),
  })
  clock += 2 * 86_400_000
  expect((await server.as(basic('bob', secret)).fetch('/v2/')).status).toBe(401)
})

test('audit: entries have the account, address and credential, and denials are included', async () => {
  const { id, secret } = await server.addToken('admin')
  expect((await ask(bearer(secret), 'PUT', '/groups/audited')).status).toBe(201)
  expect((await ask(basic('alice'), 'DELETE', '/groups/audited')).status).toBe(403)
  const { text, json } = await ask(basic('admin'), 'GET', '/audit')
  const [added] = json.items
  const act = { action: 'group.create', target: 'audited', account: 'admin', address: '127.0.0.1' }
  expect(added).toMatchObject({ ...act, credentialId: id })
  const [refused] = (await ask(basic('admin'), 'GET', '/audit?kind=denied')).json.items
  expect(refused).toMatchObject({
    action: 'denied',
    target: 'DELETE /api/v1/groups/audited',
    account: 'alice',
  })
  expect(text).not.toContain(secret)
  expect(text).not.toMatch(/argon2|correct-horse/)
})

test('audit: a flood of denials is a few entries with short targets, and does not crowd out changes', async () => {
  await server.addUser('flooder')
  const flood = Array.from({ length: 100 }, (_, n) =>
    ask(basic('flooder'), 'GET', `/users/a${'x'.repeat(n % 2 ? 2000 : 60)}${n}`),
  )
  expect((await Promise.all(flood)).map(({ status }) => status)).toEqual(flood.map(() => 403))
  const changes = (await ask(basic('admin'), 'GET', '/audit?limit=1')).json.items
  expect(changes).toMatchObject([{ action: 'user.create', target: 'flooder' }])
  const { items } = (await ask(basic('admin'), 'GET', '/audit?kind=denied')).json
  const ofFlooder = items.filter((entry: { account: string }) => entry.account === 'flooder')
  expect(ofFlooder.length).toBeLessThanOrEqual(17)
  expect(ofFlooder.reduce((sum: number, { count }: { count: number }) => sum + count, 0)).toBe(100)
  expect(Math.max(...ofFlooder.map(({ target }: { target: string }) => target.length))).toBe(200)
})

test('audit: sign-ins are listed, and failed ones separately', async () => {
  await server.addUser('visitor')
  for (const password of ['wrong-horse', 'worse-horse'])
    await ask(basic('visitor', password), 'GET', '/robots')
  await ask(basic('visitor', 'cay_wrong'), 'GET', '/robots')
  await ask(basic('visitor'), 'GET', '/robots')
  const of = async (kind: string) =>
    (await ask(basic('admin'), 'GET', `/audit?kind=${kind}`)).json.items.filter(
      (entry: { account?: string }) => entry.account === 'visitor',
    )
  expect(await of('failed-sign-in')).toMatchObject([{ action: 'sign-in.failed', target: 'token', count: 3 }])
  expect(await of('sign-in')).toMatchObject([{ action: 'sign-in', target: 'password', count: 1 }])
})

test('accounts: the initial password is in a file until it is changed', async () => {
  await using first = await startInProcess({ settings: { access: 'accounts' } })
  const path = join(first.data, 'initial-admin-password')
  const password = (await Bun.file(path).text()).trim()
  expect(password).toMatch(/^[a-z2-9]{20}$/)
  expect(((await Bun.file(path).stat()).mode & 0o777).toString(8)).toBe('600')
  expect(JSON.stringify(first.log())).not.toContain(password)
  const headers = { authorization: basic('admin', password), 'content-type': 'application/json' }
  const change = { method: 'PATCH', headers, body: JSON.stringify({ password: 'another-horse' }) }
  expect((await first.fetch('/api/v1/users/admin', change)).status).toBe(200)
  expect(existsSync(path)).toBe(false)
})

test("accounts: changing one's own password with a token or session needs the current one", async () => {
  await server.addUser('owner')
  const { secret } = await server.addToken('owner')
  const change = (body: object, as = bearer(secret)) => ask(as, 'PATCH', '/users/owner', body)
  const refused = await change({ password: 'stolen-horse' })
  expect([refused.status, refused.json.detail]).toEqual([
    403,
    'changing your own password with a token or a session requires currentPassword',
  ])
  const wrong = await change({ password: 'stolen-horse', currentPassword: 'wrong-horse' })
  expect([wrong.status, wrong.json.detail]).toEqual([403, 'currentPassword is wrong'])
  expect((await change({ password: 'stolen-horse', currentPassword: secret })).status).toBe(403)
  expect((await change({ password: 'second-horse', currentPassword: PASSWORD })).status).toBe(200)
  expect((await change({ password: 'third-horse' }, basic('owner', 'second-horse'))).status).toBe(200)
  const admin = await server.addToken('admin')
  const put = (name: string, body: object) => ask(bearer(admin.secret), 'PUT', `/users/${name}`, body)
  expect((await put('admin', { password: 'stolen-horse', admin: true })).status).toBe(403)
  expect((await put('admin', { ...user, admin: true, currentPassword: PASSWORD })).status).toBe(200)
  expect((await put('owner', user)).status).toBe(200)
})

test('accounts: with open access, nobody can create accounts that would exist once accounts are enabled', async () => {
  await using open = await startInProcess()
  const ask = async (method: string, path: string, body?: object) => {
    const headers = { 'content-type': 'application/json' }
    const init = { method, headers, ...(body && { body: JSON.stringify(body) }) }
    return (await open.fetch(`/api/v1${path}`, init)).status
  }
  const statuses = [
    await ask('PUT', '/users/mallory', { ...user, admin: true }),
    await ask('PUT', '/groups/team'),
    await ask('PUT', '/grants', { subject: 'anonymous', pattern: '**', role: 'admin' }),
    await ask('POST', '/signing-keys'),
  ]
  expect(statuses).toEqual([403, 403, 403, 403])
  expect(await ask('PUT', '/repositories/app', {})).toBe(201)
})

test('accounts: with open access, no credential is needed and everything is allowed', async () => {
  await using open = await startInProcess()
  expect((await open.fetch('/v2/')).status).toBe(200)
  expect((await open.fetch('/api/v1/users')).status).toBe(200)
  expect(existsSync(join(open.data, 'initial-admin-password'))).toBe(false)
})
