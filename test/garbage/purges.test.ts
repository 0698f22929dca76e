import { afterAll, beforeAll, expect, test } from 'bun:test'
import { type AccountsServer, basic, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { pushImage } from '../support/push.ts'

let server: AccountsServer
const owner = () => server.as(basic('admin'))

beforeAll(async () => {
  server = await startWithAccounts()
  for (const [name, role] of [
    ['ada', 'admin'],
    ['wim', 'writer'],
  ] as const) {
    await server.addUser(name)
    await server.grant(name, 'team/*', role)
  }
}, 60_000)
afterAll(() => server.stop())

async function ask(who: string, method: string, path: string, body?: object) {
  const response = await server.as(basic(who)).fetch(`/api/v1${path}`, {
    method,
    ...(body && { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }),
  })
  return { status: response.status, json: JSON.parse((await response.text()) || 'null') }
}

async function pushDeleted(repository: string) {
  const layer = randomBlob(200_000)
  const image = imageManifest(EMPTY, [layer])
  await pushImage(owner(), repository, image, [layer], { reference: 'latest' })
  const path = `/repositories/${encodeURIComponent(repository)}`
  expect(await ask('admin', 'DELETE', `${path}/manifests/${image.digest}`)).toMatchObject({ status: 204 })
  return { image, layer, path }
}

test('purges: the admins of a repository purge it, writers cannot, and an event records it', async () => {
  const { image, path } = await pushDeleted('team/a')
  const purge = `${path}/purge`
  expect((await ask('wim', 'POST', purge, {})).status).toBe(403)
  expect((await ask('wim', 'GET', purge)).status).toBe(403)
  const counted = { repositoryCount: 0, manifestCount: 1, truncated: false }
  expect((await ask('ada', 'GET', purge)).json).toEqual(counted)
  const seen = (await ask('admin', 'GET', purge)).json as { bytes: number }
  expect(seen.bytes).toBeGreaterThan(200_000)
  const { status, json } = await ask('ada', 'POST', purge, {})
  expect([status, json]).toEqual([
    200,
    { repositoryCount: 0, manifestCount: 1, heldUntil: expect.any(String) },
  ])
  expect((await ask('ada', 'POST', `${path}/manifests/${image.digest}/restore`)).status).toBe(404)
  const events = (await ask('admin', 'GET', '/events?limit=20')).json as { items: object[] }
  expect(events.items).toContainEqual(
    expect.objectContaining({
      type: 'manifest.purge',
      repository: 'team/a',
      account: 'ada',
      digest: image.digest,
    }),
  )
})

test('purges: a deleted repository is purged by its name, and cannot be restored', async () => {
  const { path } = await pushDeleted('team/b')
  await ask('admin', 'DELETE', path)
  expect((await ask('ada', 'POST', `${path}/purge`, {})).json).toMatchObject({ repositoryCount: 1 })
  expect((await ask('ada', 'POST', `${path}/restore`, {})).status).toBe(404)
  expect((await ask('ada', 'GET', `${path}/purge`)).status).toBe(404)
})

test('purges: a manifest that is in use, or unknown, is refused', async () => {
  const { path } = await pushDeleted('team/c')
  const used = imageManifest(EMPTY, [], { annotations: { is: 'used' } })
  await pushImage(owner(), 'team/c', used, [], { reference: 'used' })
  const refused = await ask('ada', 'POST', `${path}/purge`, { digest: used.digest })
  expect([refused.status, refused.json.detail]).toEqual([
    404,
    `team/c has no deleted or untagged manifest ${used.digest}: delete it first`,
  ])
  expect((await ask('ada', 'POST', `/repositories/team%2Fnone/purge`, {})).status).toBe(404)
})

test('purges: only server admins purge all repositories', async () => {
  await pushDeleted('team/d')
  await pushDeleted('other/d')
  expect((await ask('ada', 'POST', '/gc/purge')).status).toBe(403)
  const counted = (await ask('admin', 'GET', '/gc/purge')).json as { manifestCount: number }
  expect((await ask('admin', 'POST', '/gc/purge')).json).toMatchObject({
    manifestCount: counted.manifestCount,
  })
  expect((await ask('admin', 'GET', '/gc/purge')).json).toMatchObject({ manifestCount: 0 })
})
