import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import { startInProcess } from '../support/server.ts'

let server: AccountsServer
beforeAll(async () => {
  server = await startWithAccounts()
  for (const name of ['alice', 'bob', 'carol']) await server.addUser(name)
  await server.admin('PUT', '/groups/team')
  await server.admin('PATCH', '/groups/team', { add: ['bob'] })
  await server.grant('group:team', 'alice/*', 'writer')
  await server.grant('bob', 'alice/app', 'reader')
  await server.grant('authenticated', 'alice/**', 'reader')
  await server.grant('anonymous', 'open/**', 'reader')
  for (const robot of ['bob%2Bci', 'admin%2Bci']) await server.admin('PUT', `/robots/${robot}`)
  await server.grant('bob+ci', '**', 'admin')
  await server.grant('admin+ci', '**', 'writer')
}, 60_000)
afterAll(() => server.stop())

const explain = (query: Record<string, string>) =>
  server.admin('GET', `/access?${new URLSearchParams(query)}`)

test('access: every grant that allows something is listed', async () => {
  expect(await explain({ account: 'bob', repository: 'alice/app' })).toEqual({
    actions: ['pull', 'push'],
    disabled: false,
    limits: [],
    reasons: [
      {
        source: 'group',
        subject: 'group:team',
        pattern: 'alice/*',
        role: 'writer',
        actions: ['pull', 'push'],
      },
      { source: 'account', subject: 'bob', pattern: 'alice/app', role: 'reader', actions: ['pull'] },
      {
        source: 'authenticated',
        subject: 'authenticated',
        pattern: 'alice/**',
        role: 'reader',
        actions: ['pull'],
      },
    ],
  })
  const all = ['pull', 'push', 'delete']
  expect(await explain({ account: 'alice', repository: 'alice/app' })).toMatchObject({
    actions: all,
    reasons: [
      { source: 'own-namespace', pattern: 'alice/**', role: 'admin', actions: all },
      { source: 'authenticated', actions: ['pull'] },
    ],
  })
  expect(await explain({ account: 'admin', repository: 'x' })).toMatchObject({
    actions: all,
    reasons: [{ source: 'server-admin', actions: all }],
  })
  expect(await explain({ account: 'carol', repository: 'x' })).toMatchObject({ actions: [], reasons: [] })
})

test('access: an anonymous caller has only what is granted to anonymous', async () => {
  const by = {
    source: 'anonymous',
    subject: 'anonymous',
    pattern: 'open/**',
    role: 'reader',
    actions: ['pull'],
  }
  expect(await explain({ repository: 'open/a' })).toMatchObject({ actions: ['pull'], reasons: [by] })
  expect(await explain({ repository: 'alice/app' })).toMatchObject({ actions: [], reasons: [] })
  expect(await explain({ account: 'carol', repository: 'open/a' })).toMatchObject({ actions: ['pull'] })
})

test("access: a robot's owner, a token's scope and a disabled account are listed as limits", async () => {
  const owner = { source: 'owner', name: 'bob', actions: ['pull', 'push'] }
  const robot = { account: 'bob+ci', repository: 'alice/app' }
  expect(await explain(robot)).toMatchObject({ actions: ['pull', 'push'], limits: [owner] })
  const { id } = await server.addToken('bob+ci', { scope: [{ pattern: 'alice/**', role: 'reader' }] })
  expect(await explain({ ...robot, credentialId: id })).toMatchObject({
    actions: ['pull'],
    limits: [owner, { source: 'credential', name: id, actions: ['pull'] }],
  })
  expect(await explain({ account: 'admin+ci', repository: 'x' })).toMatchObject({
    actions: ['pull', 'push'],
    limits: [{ source: 'owner', name: 'admin' }],
  })
  await server.admin('PATCH', '/users/bob', { disabled: true })
  expect(await explain(robot)).toMatchObject({ actions: [], disabled: true })
  await server.admin('PATCH', '/users/bob', { disabled: false })
})

test('access: an account may ask about itself and its robots, and about anonymous if it may delete', async () => {
  const ask = async (who: string, query: Record<string, string>) =>
    (await server.as(basic(who)).fetch(`/api/v1/access?${new URLSearchParams(query)}`)).status
  expect(await ask('bob', { account: 'bob', repository: 'alice/app' })).toBe(200)
  expect(await ask('bob', { account: 'bob+ci', repository: 'alice/app' })).toBe(200)
  expect(await ask('bob', { account: 'carol', repository: 'alice/app' })).toBe(403)
  expect(await ask('bob', { repository: 'alice/app' })).toBe(403)
  expect(await ask('alice', { account: 'carol', repository: 'alice/app' })).toBe(403)
  expect(await ask('alice', { repository: 'alice/app' })).toBe(200)
  expect(await ask('alice', { repository: 'alice/app' })).toBe(200)
  expect(await ask('admin', { account: 'nobody', repository: 'alice/app' })).toBe(404)
  expect(await ask('admin', { account: 'bob', repository: 'alice/app', credentialId: 'x' })).toBe(404)
  expect(await ask('admin', { account: 'bob', repository: 'UPPER' })).toBe(400)
})

test('access: with open access, everybody may do everything', async () => {
  await using open = await startInProcess()
  const response = await open.fetch('/api/v1/access?repository=a')
  expect(await response.json()).toMatchObject({
    actions: ['pull', 'push', 'delete'],
    reasons: [{ source: 'open' }],
  })
})
