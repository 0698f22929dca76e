import { expect, test } from 'bun:test'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { basic, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { expectStatus, pushImage } from '../support/push.ts'
import { type StartTestServer, startInProcess } from '../support/server.ts'
import { until } from '../support/until.ts'

const manifest = imageManifest(EMPTY, [])
const at = Date.UTC(2026, 0, 31, 12)

test('pulls: the API says who pulled which tag on which day, after a restart, also when pulled as containerd does', async () => {
  await using folder = await temporaryFolder('pulls')
  const start: StartTestServer = (options) => startInProcess({ ...options, data: folder.path, now: () => at })
  const server = await startWithAccounts({}, start)
  await server.addUser('alice')
  await server.grant('alice', 'app', 'reader')
  await server.grant('anonymous', 'app', 'reader')
  await pushImage(server.as(basic('admin')), 'app', manifest, [], { reference: 'v1' })
  const pull = async (account: string | undefined, method: string, reference: string) => {
    const client = server.as(account === undefined ? undefined : basic(account))
    await expectStatus(await client.fetch(`/v2/app/manifests/${reference}`, { method }), 200)
  }
  await pull('alice', 'GET', 'v1')
  await pull(undefined, 'HEAD', 'v1')
  await pull(undefined, 'GET', manifest.digest)
  await pull('alice', 'GET', manifest.digest)
  const now = await server.admin<{ items: { pullCount: number }[] }>('GET', '/repositories/app/pulls')
  expect(now.items.map(({ pullCount }) => pullCount)).toEqual([1, 1, 1])
  await server.stop()

  await using again = await start({ settings: { access: 'accounts' } })
  const admin = { headers: { authorization: basic('admin') } }
  const list = async (query = '') => {
    const response = await again.fetch(`/api/v1/repositories/app/pulls${query}`, admin)
    return (await expectStatus(response, 200)).json()
  }
  const day = '2026-01-31'
  const items = [
    { day, account: 'alice', pullCount: 1 },
    { day, tag: 'v1', pullCount: 1 },
    { day, tag: 'v1', account: 'alice', pullCount: 1 },
  ]
  expect(await list()).toEqual({ items })
  expect(await list('?tag=v1')).toEqual({ items: items.slice(1) })
  const first = (await list('?limit=2')) as { nextCursor: string }
  expect(first).toMatchObject({ items: items.slice(0, 2) })
  expect(await list(`?cursor=${first.nextCursor}`)).toEqual({ items: items.slice(2) })
  const tag = await again.fetch('/api/v1/repositories/app/tags/v1', admin)
  expect(await tag.json()).toMatchObject({ pullCount: 2 })
})

test('pulls: they are deleted after 90 days', async () => {
  await using folder = await temporaryFolder('pulls')
  let now = at
  const start = () => startInProcess({ data: folder.path, now: () => now })
  const pullAt = async (days: number) => {
    now = at + days * 86_400_000
    await using server = await start()
    await pushImage(server, 'app', manifest, [], { reference: 'v1' })
    await expectStatus(await server.fetch('/v2/app/manifests/v1'), 200)
  }
  await pullAt(0)
  await pullAt(1)
  now = at + 91 * 86_400_000
  await using server = await start()
  const list = async () => {
    const response = await server.fetch('/api/v1/repositories/app/pulls')
    return ((await response.json()) as { items: { day: string }[] }).items.map(({ day }) => day)
  }
  await until(async () => (await list()).length < 2)
  expect(await list()).toEqual([new Date(at + 86_400_000).toISOString().slice(0, 10)])
})
