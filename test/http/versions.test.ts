import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { type AccountsServer, basic, PASSWORD, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { pushBlob, pushManifest } from '../support/push.ts'

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  await server.addUser('ann')
  await push()
})
afterAll(() => server.stop())

const image = imageManifest(EMPTY, [])
const digest = image.digest
const inTeam = (path: string) => `/repositories/team%2Fapp${path}`

async function push() {
  const admin = server.as(basic('admin'))
  await pushBlob(admin, 'team/app', EMPTY)
  await pushManifest(admin, 'team/app', image, { reference: 'pushed' })
}

/** Each resource with an entity tag: how to create it, and a change that its representation shows. */
const RESOURCES = [
  {
    noun: 'tag',
    path: inTeam('/tags/put'),
    body: { digest },
    change: (n: number) => ({ expiresAt: `2999-01-0${n}T00:00:00Z` }),
  },
  {
    noun: 'repository',
    path: '/repositories/made',
    body: {},
    change: (n: number) => ({ description: `${n}` }),
  },
  { noun: 'user', path: '/users/bob', body: { password: PASSWORD }, change: () => ({ disabled: true }) },
  { noun: 'robot', path: '/robots/ann%2Bci', body: undefined, change: () => ({ disabled: true }) },
  { noun: 'group', path: '/groups/team', body: undefined, change: () => ({ add: ['ann'] }) },
]

async function ask(method: string, path: string, body?: object, headers: Record<string, string> = {}) {
  const response = await server.fetch(`/api/v1${path}`, {
    method,
    headers: {
      authorization: basic('admin'),
      ...headers,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
  })
  await response.text()
  return { status: response.status, etag: response.headers.get('etag') ?? '' }
}

const etagOf = async (path: string) => (await ask('GET', path)).etag

describe.each(RESOURCES)('the entity tag of a $noun', ({ noun, path, body, change }) => {
  beforeAll(async () => {
    await ask('PUT', path, body)
  })

  test('stays until the resource changes', async () => {
    const etag = await etagOf(path)
    const again = await ask('GET', path, undefined, { 'if-none-match': `"0", W/${etag}` })
    // Counters change without the entity tag, so a GET of these is never 304.
    expect(again).toEqual({ status: noun === 'tag' || noun === 'repository' ? 200 : 304, etag })
    expect((await ask('PATCH', path, change(1))).status).toBe(200)
    expect(await etagOf(path)).not.toBe(etag)
    expect((await ask('GET', path, undefined, { 'if-none-match': etag })).status).toBe(200)
  })

  test('lets only one of several changes with the same precondition succeed', async () => {
    const etag = await etagOf(path)
    const racing = await Promise.all(
      [2, 3, 4].map((n) => ask('PATCH', path, change(n), { 'if-match': etag })),
    )
    expect(racing.map(({ status }) => status).sort()).toEqual([200, 412, 412])
    const stale = racing.find(({ status }) => status === 412)
    expect(stale?.etag).toBe(await etagOf(path))
  })

  test('differs from that of a recreated resource with the same name', async () => {
    const etag = await etagOf(path)
    expect((await ask('DELETE', path)).status).toBe(204)
    expect((await ask('PUT', path, body, { 'if-match': '*' })).status).toBe(412)
    expect((await ask('PUT', path, body, { 'if-none-match': '*' })).status).toBe(201)
    expect((await ask('PUT', path, body, { 'if-none-match': '*' })).status).toBe(412)
    expect((await ask('DELETE', path, undefined, { 'if-match': etag })).status).toBe(412)
    expect((await ask('DELETE', path, undefined, { 'if-match': `W/${await etagOf(path)}` })).status).toBe(412)
    expect((await ask('DELETE', path, undefined, { 'if-match': `"0", ${await etagOf(path)}` })).status).toBe(
      204,
    )
  })
})

test('entity tags: the one of a group changes when a member, or the owner of a member, is deleted', async () => {
  await server.addUser('carl')
  await ask('PUT', '/robots/carl%2Bci')
  await ask('PUT', '/groups/mixed')
  await ask('PATCH', '/groups/mixed', { add: ['ann', 'carl+ci'] })
  const etag = await etagOf('/groups/mixed')
  await ask('DELETE', '/users/carl')
  expect(await etagOf('/groups/mixed')).not.toBe(etag)
})

test('entity tags: the one of a tag changes when it moves, and not when it is pushed again unchanged', async () => {
  const etag = await etagOf(inTeam('/tags/pushed'))
  await push()
  expect(await etagOf(inTeam('/tags/pushed'))).toBe(etag)
  const other = imageManifest(EMPTY, [], { annotations: { n: '2' } })
  await pushManifest(server.as(basic('admin')), 'team/app', other, { reference: 'pushed' })
  expect(await etagOf(inTeam('/tags/pushed'))).not.toBe(etag)
  const stale = { 'if-match': etag }
  expect((await ask('PUT', inTeam('/tags/pushed'), { digest }, stale)).status).toBe(412)
})

test('entity tags: the one of a manifest changes with its tags, and when it is pushed again', async () => {
  const path = inTeam(`/manifests/${digest}`)
  await ask('PUT', inTeam('/tags/first'), { digest })
  const etag = await etagOf(path)
  expect(await etagOf(path)).toBe(etag)
  await ask('PUT', inTeam('/tags/second'), { digest })
  expect((await ask('DELETE', path, undefined, { 'if-match': etag })).status).toBe(412)
  const newer = await etagOf(path)
  const racing = await Promise.all([1, 2].map(() => ask('DELETE', path, undefined, { 'if-match': newer })))
  expect(racing.map(({ status }) => status).sort()).toEqual([204, 404])
  await push()
  expect((await ask('DELETE', path, undefined, { 'if-match': newer })).status).toBe(412)
})

test.each([
  ['user', '/users/racer', (n: number) => ({ password: `${PASSWORD}-${n}` })],
  ['repository', '/repositories/raced', (n: number) => ({ description: `${n}` })],
])('two PUTs of one %s that expect the same version: one succeeds', async (_, path, body) => {
  await ask('PUT', path, body(0))
  const etag = await etagOf(path)
  const racing = await Promise.all([1, 2].map((n) => ask('PUT', path, body(n), { 'if-match': etag })))
  expect(racing.map(({ status }) => status).sort()).toEqual([200, 412])
})
