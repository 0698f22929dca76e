import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { randomBlob } from '../support/content.ts'
import { pushBlob } from '../support/push.ts'
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
