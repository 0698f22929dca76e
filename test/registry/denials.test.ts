import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, bearer, startWithAccounts } from '../support/accounts.ts'

const NEEDS_WRITER = 'alice may not push to team/app: needs writer'
const CONTAINERD = { 'user-agent': 'containerd/1.6.20~ds1' }

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  await server.addUser('alice')
  await server.grant('alice', 'team/app', 'reader')
}, 60_000)
afterAll(() => server.stop())

/** Starts an upload to a repository, and returns the response. */
function push(authorization: string | undefined, headers = {}, repository = 'team/app', method = 'POST') {
  return server.as(authorization).fetch(`/v2/${repository}/blobs/uploads/`, { method, headers })
}

test('denials: a push without the role says who needs which role where, also with a token of /token', async () => {
  const token = await server.tokenFor(basic('alice'), 'repository:team/app:pull,push')
  for (const authorization of [basic('alice'), bearer(token)]) {
    const response = await push(authorization)
    expect([response.status, response.headers.get('www-authenticate')]).toEqual([403, null])
    expect(await response.json()).toEqual({
      errors: [{ code: 'DENIED', message: NEEDS_WRITER, detail: { action: 'push' } }],
    })
  }
})

test('denials: containerd, which shows no body, gets the reason in the challenge, except for a PUT', async () => {
  const response = await push(basic('alice'), CONTAINERD)
  expect(response.status).toBe(401)
  expect(response.headers.get('www-authenticate')).toMatch(
    /^Bearer realm="[^"]+",service="[^"]+",scope="repository:team\/app:pull,push",error="alice may not push to team\/app: needs writer"$/,
  )
  const head = await server.as(basic('alice')).fetch('/v2/secret/app/manifests/1', {
    method: 'HEAD',
    headers: CONTAINERD,
  })
  expect(head.headers.get('www-authenticate')).toEndWith(
    'error="alice may not pull from secret/app: needs reader"',
  )
  const put = await server.as(basic('alice')).fetch('/v2/team/app/manifests/1', {
    method: 'PUT',
    headers: CONTAINERD,
    body: '{}',
  })
  expect(put.status).toBe(403)
})

test('denials: everything that is missing is listed, in the distribution API, V1 and the admin API', async () => {
  await server.addUser('bob')
  await server.admin('PUT', '/robots/bob%2Bci')
  const scope = [{ pattern: 'other/**', role: 'writer' }]
  const { secret } = await server.addToken('bob+ci', { scope })
  const robot = server.as(basic('bob+ci', secret))
  const lacks = (role: string) =>
    `needs ${role}; its owner bob needs ${role}; its token's scope needs ${role}`
  const pushed = await robot.fetch('/v2/team/app/blobs/uploads/', { method: 'POST' })
  expect(await pushed.json()).toMatchObject({
    errors: [{ message: `bob+ci may not push to team/app: ${lacks('writer')}` }],
  })
  const v1 = await robot.fetch('/v1/repositories/team/app/tags')
  expect(await v1.json()).toMatchObject({
    errors: [{ message: `bob+ci may not pull from team/app: ${lacks('reader')}` }],
  })
  const admin = await robot.fetch('/api/v1/repositories/team%2Fapp', { method: 'DELETE' })
  expect(await admin.json()).toMatchObject({
    status: 403,
    detail: `bob+ci may not delete in team/app: ${lacks('admin')}`,
  })
})

test('denials: a HEAD by digest gets 404, so that helm continues with the push, whose denial has the reason', async () => {
  const digest = `sha256:${'0'.repeat(64)}`
  const head = async (path: string, headers = {}) =>
    (await server.as(basic('alice')).fetch(`/v2/secret/app/${path}`, { method: 'HEAD', headers })).status
  expect(await head(`blobs/${digest}`)).toBe(404)
  expect(await head(`manifests/${digest}`)).toBe(404)
  expect(await head('manifests/latest')).toBe(403)
  expect(await head(`manifests/${digest}`, CONTAINERD)).toBe(401)
})

test('denials: the audit log lists each denied push and pull with its repository and count', async () => {
  await server.addUser('carol')
  for (const repository of ['team/one', 'team/two', 'team/one']) {
    await push(basic('carol'), {}, repository)
  }
  await server.as(basic('carol')).fetch('/v2/team/three/tags/list')
  await server.as(basic('carol')).fetch('/v1/repositories/team/four/tags')
  const { items } = await server.admin<{ items: { account: string; target: string; count: number }[] }>(
    'GET',
    '/audit?kind=denied',
  )
  expect(
    items.filter(({ account }) => account === 'carol').map(({ target, count }) => [target, count]),
  ).toEqual([
    ['pull from team/four', 1],
    ['pull from team/three', 1],
    ['push to team/one', 2],
    ['push to team/two', 1],
  ])
})

test('denials: an account that tries many repositories fills few rows of the audit log, and none is lost', async () => {
  await server.addUser('dave')
  const tries = 40
  for (let n = 0; n < tries; n++) await push(basic('dave'), {}, `many/n${n}`)
  const { items } = await server.admin<{ items: { account: string; count: number }[] }>(
    'GET',
    '/audit?kind=denied',
  )
  const rows = items.filter(({ account }) => account === 'dave')
  expect(rows.length).toBe(17)
  expect(rows.reduce((sum, { count }) => sum + count, 0)).toBe(tries)
})

test('denials: an anonymous client is asked to sign in, and learns nothing else', async () => {
  for (const headers of [{}, CONTAINERD]) {
    const response = await push(undefined, headers)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).not.toContain('error=')
  }
})
