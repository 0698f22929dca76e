import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { basic, bearer, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { pushBlob, pushImage } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'

test('cay quota sets, lists, shows and deletes a quota of a running server', async () => {
  await using server = await startExecutable()
  const cay = async (...args: string[]) => {
    const { code, output, errors } = await runCay(['quota', ...args, '--data', server.data])
    return { code, text: output + errors }
  }
  await pushBlob(server, 'alice/app', randomBlob(1024))
  expect(await cay('set', 'alice', '--bytes', '2KiB')).toEqual({ code: 0, text: 'set the quota of alice\n' })
  expect((await cay('set', 'alice', '--tags', '5')).code).toBe(0)
  expect((await cay('show', 'alice')).text).toMatch(
    /Used: +50 %\n.*Most bytes: +2\.0 KiB\n.*Most tags: +5\n/s,
  )
  expect((await cay('list')).text).toMatch(/^alice +50 % /m)
  const blob = randomBlob(2048)
  const path = `/v2/alice/app/blobs/uploads/?digest=${blob.digest}`
  expect((await server.fetch(path, { method: 'POST', body: blob.bytes })).status).toBe(403)
  expect(await (await server.fetch('/metrics')).text()).toContain('cay_quota_percent{namespace="alice"} 50')
  expect((await cay('set', 'alice', '--bytes', '2XB')).code).toBe(2)
  expect((await cay('delete', 'alice', '--yes')).code).toBe(0)
  expect((await cay('list')).text).toContain('There are no quotas')
}, 60_000)

test('an admin of a repository reads in a refusal how to free a full quota, and frees it', async () => {
  let clock = Date.UTC(2026, 10, 1)
  await using server = await startWithAccounts({
    now: () => clock,
    settings: { 'gc.grace-seconds': '60' },
  })
  await server.addUser('alice')
  await server.admin('PUT', '/quotas/alice', { bytesMax: 250_000 })
  const alice = server.as(basic('alice'))
  const layer = randomBlob(200_000)
  const image = imageManifest(EMPTY, [layer])
  await pushImage(alice, 'alice/app', image, [layer], { reference: 'v1' })
  await alice.fetch(`/v2/alice/app/manifests/${image.digest}`, { method: 'DELETE' })
  const next = randomBlob(150_000)
  const push = () =>
    alice.fetch(`/v2/alice/app/blobs/uploads/?digest=${next.digest}`, { method: 'POST', body: next.bytes })
  const refused = await push()
  expect([refused.status, await refused.json()]).toMatchObject([
    403,
    {
      errors: [
        {
          code: 'DENIED',
          message: expect.stringMatching(
            /195\.\d KiB of 244\.1 KiB are used; 195\.\d KiB of it is deleted .* frees that with cay repo purge REPOSITORY/,
          ),
          detail: { quota: 'alice', maxBytes: 250_000, deletedBytes: 200_002 },
        },
      ],
    },
  ])
  const { secret } = await server.addToken('alice')
  const env = { CAY_SERVER: server.url, CAY_TOKEN: secret }
  const collect = async () => {
    const { id } = await server.admin<{ id: string }>('POST', '/jobs', { kind: 'gc' })
    await (await server.as(bearer(await adminToken())).fetch(`/api/v1/jobs/${id}/events`)).text()
  }
  const adminToken = async () => (await server.addToken('admin')).secret
  // Both the last push and the start of the server must be a grace period ago.
  for (let n = 0; n < 3; n++) {
    clock += 70_000
    await collect()
  }
  const purged = await runCay(['repo', 'purge', 'alice/app', '--yes'], env)
  expect(purged).toMatchObject({ code: 0, output: expect.stringContaining('1 manifest') })
  await collect()
  expect((await push()).status).toBe(201)
  const other = await runCay(['repo', 'purge', 'bob/app', '--yes'], env)
  expect(other.code).toBe(4)
}, 60_000)

test('a server with tables in cay.toml is healthy, and shows their names among its settings', async () => {
  await using folder = await temporaryFolder('tables')
  const toml = `[[quota]]
namespace = "alice"
bytes-max = "10GiB"
[[retention]]
name = "ci"
repositories = ["ci/**"]
newest = 5
`
  await Bun.write(join(folder.path, 'cay.toml'), toml)
  await using server = await startExecutable({ data: folder.path })
  expect(await runCay(['health', '--data', server.data])).toMatchObject({ code: 0, errors: '' })
  const { settings } = JSON.parse(await (await server.fetch('/api/v1/server')).text())
  expect(settings).toMatchObject(
    expect.arrayContaining([
      expect.objectContaining({ name: 'quota', value: ['alice'] }),
      expect.objectContaining({ name: 'retention', value: ['ci'] }),
    ]),
  )
}, 60_000)
