import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'
import { FakeUpstream } from '../support/upstream.ts'

test('cay upstream adds, changes and removes an upstream of a running server; its password comes from a file or standard input', async () => {
  await using fake = await FakeUpstream.start()
  const { manifest } = fake.putImage('library/app', '1')
  await using server = await startExecutable()
  const { data } = server
  const cay = async (args: string[], input?: string) => {
    const { code, output, errors } = await runCay(['upstream', ...args, '--data', data], {}, input)
    return { code, text: output + errors }
  }
  const file = join(data, 'password')
  await Bun.write(file, 'a-secret\n')
  const add = ['add', 'up.example', '--url', fake.url, '--username', 'me', '--password-file', file]
  expect(await cay(add)).toEqual({ code: 0, text: 'created upstream up.example\n' })
  expect((await cay(add)).code).not.toBe(0)
  const pulled = await server.fetch('/v2/up.example/library/app/manifests/1')
  expect(pulled.headers.get('docker-content-digest')).toBe(manifest.digest)
  expect(
    (await cay(['set', 'up.example', '--repositories', 'library/*,team/**', '--private', 'yes'])).code,
  ).toBe(0)
  const shown = await cay(['show', 'up.example'])
  expect(shown.text).toMatch(/Credentials: +set/)
  expect(shown.text).not.toContain('Last check')
  expect((await cay(['list'])).text).toMatch(/LAST CHECK.*\n.* -\n/)
  expect(shown.text).toMatch(/Repositories: +library\/\*, team\/\*\*\n/)
  expect((await cay(['check', 'up.example'])).text).toMatch(/^up\.example answers \(\d+ ms\)\n$/)
  const listed = await cay(['list'])
  expect(listed.text).toMatch(/LAST CHECK.*\n.* ok \d{4}-\d\d-\d\dT[\d:.]+Z/)
  expect((await cay(['show', 'up.example'])).text).toMatch(/Last check: +ok \d{4}-[^:]+:[\d:.]+Z\n/)
  const setup = await runCay(['client-setup', 'podman', '--data', data], {})
  expect(setup.output).toContain('prefix = "up.example"')
  expect((await cay(['set', 'up.example', '--username', 'you'], 'another-secret\n')).code).toBe(0)
  expect((await cay(['set', 'up.example'])).code).toBe(2)
  await fake.stop()
  const unreachable = await cay(['check', 'up.example'])
  expect(unreachable.code).toBe(1)
  expect(unreachable.text).toStartWith('cay: up.example cannot be used: ')
  expect((await cay(['list'])).text).toMatch(/ failed \d{4}-/)
  const failed = await cay(['show', 'up.example'])
  expect(failed.text).toMatch(/Last check: +failed \S+Z: \S+ cannot be reached: \w+\n/)
  expect((await cay(['remove', 'up.example', '--yes'])).code).toBe(0)
  expect((await cay(['list'])).text).toContain('There are no upstreams')
  expect((await server.fetch('/v2/up.example/library/app/manifests/1')).status).toBe(200)
  const told = shown.text + JSON.stringify(server.log())
  expect(told).not.toContain('a-secret')
  expect(told).not.toContain('another-secret')
}, 60_000)
