import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'

test('cay retention tests, sets, runs and deletes a policy; one of cay.toml is read-only', async () => {
  await using folder = await temporaryFolder('retention')
  const data = folder.path
  await Bun.write(
    join(data, 'cay.toml'),
    '[[retention]]\nname = "file"\nrepositories = ["prod/*"]\npushed-days = 30\nkeep = ["v*"]\n',
  )
  await using server = await startExecutable({ data })
  const cay = async (...args: string[]) => {
    const { code, output, errors } = await runCay(['retention', ...args, '--data', data])
    return { code, text: output + errors }
  }
  for (const reference of ['pr-1', 'pr-2', 'latest']) {
    const manifest = imageManifest(EMPTY, [], { annotations: { reference } })
    await pushImage(server, 'ci/app', manifest, [], { reference })
  }
  const settings = ['--repositories', 'ci/**', '--tags', 'pr-*,latest', '--newest', '1', '--keep', 'latest']
  const tested = await cay('test', 'ci', ...settings)
  expect(tested.text).toMatch(/^ci\/app +latest +ci +matches "latest"/m)
  expect(tested.text).toMatch(/^ci\/app +pr-1 +yes +ci +not one of the newest 1 by push time/m)
  expect((await cay('test', '--expiring')).text).toContain('No tag would expire.')
  expect(await cay('set', 'ci', ...settings)).toEqual({ code: 0, text: 'set retention policy ci\n' })
  expect(await cay('set', 'ci', '--newest', '2', '--pulled-days', '3')).toEqual({
    code: 0,
    text: 'set retention policy ci\n',
  })
  expect((await cay('show', 'ci')).text).toMatch(/Newest: +2\n.*\n?Pulled days: +3/)
  expect(await cay('set', 'ci', '--newest', '1', '--pulled-days', 'none')).toEqual({
    code: 0,
    text: 'set retention policy ci\n',
  })
  expect((await cay('run', '--yes')).text).toMatch(/tags: +1\n/)
  const listed = await server.fetch('/v2/ci/app/tags/list')
  expect(await listed.json()).toMatchObject({ tags: ['latest', 'pr-2'] })
  expect((await cay('list')).text).toMatch(/^file +prod\/\* .*cay\.toml/m)
  const refused = await cay('delete', 'file', '--yes')
  expect([refused.code, refused.text]).toEqual([
    1,
    `cay: retention policy file is configured in ${join(data, 'cay.toml')}: change it there\n`,
  ])
  expect((await cay('set', 'ci', '--newest', 'x')).code).toBe(2)
  expect((await cay('delete', 'ci', '--yes')).code).toBe(0)
  const metrics = await (await server.fetch('/metrics')).text()
  expect(metrics).toContain('cay_retention_expired_total{kind="tag"} 1')
}, 60_000)
