import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, bearer, startWithAccounts } from '../support/accounts.ts'

interface Answer {
  detail?: string
  items?: { subject: string }[]
}

const resources = new AsyncDisposableStack()
let server: AccountsServer
const asAlice: { authorization: string } = { authorization: '' }

beforeAll(async () => {
  const settings = { 'grants.namespace-max': '5', 'grants.subject-max': '8' }
  server = resources.use(await startWithAccounts({ settings }))
  for (const name of ['alice', 'bob', 'carol']) await server.addUser(name)
  asAlice.authorization = bearer((await server.addToken('alice')).secret)
}, 60_000)
afterAll(() => resources.disposeAsync())

async function ask(method: string, path: string, body?: object) {
  const headers = { ...asAlice, 'content-type': 'application/json' }
  const response = await server.fetch(`/api/v1${path}`, {
    method,
    headers,
    ...(body && { body: JSON.stringify(body) }),
  })
  return { status: response.status, json: JSON.parse((await response.text()) || 'null') as Answer }
}
const grant = (subject: string, pattern: string, role = 'reader') =>
  ask('PUT', '/grants', { subject, pattern, role })
const remove = (subject: string, pattern: string) =>
  ask('DELETE', `/grants?${new URLSearchParams({ subject, pattern })}`)
const listed = async () => (await ask('GET', '/grants')).json.items?.map(({ subject }) => subject)

test('grants: a user cannot grant to anonymous or authenticated, unless the server allows it', async () => {
  for (const subject of ['anonymous', 'authenticated']) {
    for (const role of ['reader', 'admin']) {
      const { status, json } = await grant(subject, 'alice/open', role)
      expect([status, json.detail]).toEqual([
        403,
        'only a server admin may grant to anonymous or authenticated (grants.public-by-admins-only)',
      ])
    }
  }
  await using open = await startWithAccounts({ settings: { 'grants.public-by-admins-only': 'false' } })
  await open.addUser('alice')
  const { secret } = await open.addToken('alice')
  const response = await open.as(bearer(secret)).fetch('/api/v1/grants', {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ subject: 'anonymous', pattern: 'alice/open', role: 'reader' }),
  })
  expect(response.status).toBe(201)
})

test('grants: a user does not learn which accounts exist, and a grant to an unknown one has no effect', async () => {
  for (const subject of ['bob', 'nobody', 'group:nobodies', 'nobody+robot']) {
    expect(await grant(subject, 'alice/app')).toMatchObject({ status: 201, json: { subject } })
  }
  expect(await listed()).toEqual(['bob', 'nobody', 'group:nobodies', 'nobody+robot'])
  await server.addUser('nobody')
  const query = new URLSearchParams({ account: 'nobody', repository: 'alice/app' })
  expect(await server.admin('GET', `/access?${query}`)).toMatchObject({ actions: [] })
  expect((await grant('nobody', 'alice/app')).status).toBe(200)
  expect(await server.admin('GET', `/access?${query}`)).toMatchObject({ actions: ['pull'] })
  expect(await listed()).toEqual(['bob', 'nobody', 'group:nobodies', 'nobody+robot'])
  for (const subject of ['bob', 'nobody', 'group:nobodies', 'nobody+robot']) {
    expect((await remove(subject, 'alice/app')).status).toBe(204)
    expect((await remove(subject, 'alice/app')).status).toBe(404)
  }
  expect(await listed()).toEqual([])
})

test('grants: a user does not learn that the subject of a grant was deleted', async () => {
  const subjects = ['leaver', 'leaver+ci', 'group:leavers', 'nobody-else']
  await server.addUser('leaver')
  await server.admin('PUT', '/robots/leaver%2Bci')
  await server.admin('PUT', '/groups/leavers')
  for (const subject of subjects) await grant(subject, 'alice/left')
  await server.grant('leaver', 'leaver/own', 'reader')
  await server.grant('leaver', 'team/**', 'reader')
  await server.admin('DELETE', '/users/leaver')
  await server.admin('DELETE', '/groups/leavers')
  expect(await listed()).toEqual(subjects)
  await server.addUser('leaver')
  const query = new URLSearchParams({ account: 'leaver', repository: 'alice/left' })
  expect(await server.admin('GET', `/access?${query}`)).toMatchObject({ actions: [] })
  const { items } = await server.admin<{ items: { subject: string; pattern: string }[] }>('GET', '/grants')
  expect(items.filter(({ pattern }) => pattern !== 'alice/left')).toEqual([])
  for (const subject of subjects) expect((await remove(subject, 'alice/left')).status).toBe(204)
})

test('grants: a server admin gets an error for an account that does not exist', async () => {
  const grant = server.admin('PUT', '/grants', { subject: 'absent', pattern: 'x', role: 'reader' })
  expect(await grant.catch((error: Error) => error.message)).toContain('404')
})

test('access: users may ask only about themselves and their robots, whatever they may do in the repository', async () => {
  await ask('PUT', '/robots/alice%2Bci')
  const explain = async (account: string) =>
    (await ask('GET', `/access?${new URLSearchParams({ account, repository: 'alice/app' })}`)).status
  expect(await Promise.all(['alice', 'alice+ci'].map(explain))).toEqual([200, 200])
  expect(await Promise.all(['admin', 'bob', 'nobody-at-all', 'bob+ci'].map(explain))).toEqual([
    403, 403, 403, 403,
  ])
  expect((await ask('GET', '/access?repository=alice/app')).status).toBe(200)
  expect((await ask('GET', '/access?repository=bob/app')).status).toBe(403)
})

test('grants: a namespace and a subject have a maximum, and changing a role does not count', async () => {
  for (let n = 0; n < 5; n++) expect((await grant('bob', `alice/n${n}`)).status).toBe(201)
  const { status, json } = await grant('carol', 'alice/n5')
  expect([status, json.detail]).toEqual([
    409,
    'there are 5 grants on alice/... already, the most that grants.namespace-max allows: use patterns or groups',
  ])
  expect((await grant('bob', 'alice/n4', 'writer')).status).toBe(200)
  await remove('bob', 'alice/n0')
  expect((await grant('bob', 'alice/n5')).status).toBe(201)
  for (let n = 0; n < 3; n++) await server.grant('bob', `team${n}/**`, 'reader')
  const refused = server.grant('bob', 'team3/**', 'reader')
  expect(await refused.catch((error: Error) => error.message)).toContain('409')
})
