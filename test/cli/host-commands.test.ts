import { beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'

beforeAll(async () => {
  await build()
}, 60_000)

test('cay initial-password: prints the generated password, and the log says so without the password', async () => {
  await using server = await startExecutable({ settings: { access: 'accounts' } })
  const { code, output } = await runCay(['initial-password', '--data', server.data])
  expect([code, output]).toEqual([0, await Bun.file(join(server.data, 'initial-admin-password')).text()])
  const created = server.log().find(({ msg }) => msg === 'created the first account')
  expect(created).toMatchObject({ account: 'admin', show: 'cay initial-password' })
  expect(JSON.stringify(server.log())).not.toContain(output.trim())
})

test('cay initial-password: without a generated password, says why and how to set one', async () => {
  await using folder = await temporaryFolder('password')
  const { code, output, errors } = await runCay(['initial-password', '--data', folder.path])
  expect([code, output]).toEqual([3, ''])
  expect(errors).toBe(
    `cay: ${join(folder.path, 'initial-admin-password')} not found: the first start printed the password on its terminal, the ` +
      'password was chosen or changed, or the server has not started yet; to set a new one, run: cay user passwd admin\n',
  )
})

test('cay licenses: prints the licence of cay, of each package in the executable, and of Bun', async () => {
  const { code, output } = await runCay(['licenses'])
  expect(code).toBe(0)
  expect(output).toStartWith('cay\n\n')
  for (const part of [
    'Apache License',
    'elysia 1.',
    'drizzle-orm 0.',
    '@scalar/api-reference',
    'JavaScriptCore',
  ]) {
    expect(output).toContain(part)
  }
  expect(output).not.toContain('node_modules')
})

test('cay service print: quotes arguments for systemd, which expands % and $', async () => {
  const args = ['--host', 'a b%c$d"e', '--listen', '0.0.0.0:5000', '--tls', 'auto']
  const { code, output } = await runCay(['service', 'print', ...args])
  expect(code).toBe(0)
  expect(output).toMatch(
    /^ExecStart=\S+ serve --listen 0\.0\.0\.0:5000 --tls auto --host "a b%%c\$\$d\\"e"$/m,
  )
  expect(output).toContain('\nType=notify\n')
  expect(output).toContain('\nAmbientCapabilities=\n')
})

test('cay service print: gives the capability for ports below 1024 only if one is used', async () => {
  const { output } = await runCay(['service', 'print', '--listen', '0.0.0.0:443', '--tls', 'auto'])
  expect(output).toContain('\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n')
  // Without a user namespace: there the capability would not apply.
  expect(output).not.toContain('PrivateUsers')
})

test('cay service print: describes a service of launchd and a task of Windows, and refuses others', async () => {
  const launchd = await runCay(['service', 'print', 'launchd', '--host', '<a>'])
  expect(launchd.output).toContain('<string>&lt;a&gt;</string>')
  expect((await runCay(['service', 'print', 'windows'])).output).toContain('Register-ScheduledTask cay')
  expect(await runCay(['service', 'print', 'upstart'])).toEqual({
    code: 2,
    output: '',
    errors: 'cay: unknown service manager "upstart": expected systemd, launchd or windows\n',
  })
})

test('cay service install: a data folder of its own is refused, with where to mount a disk', async () => {
  const { code, errors } = await runCay(['service', 'install', '--data', '/srv/cay'])
  expect(code).toBe(2)
  expect(errors).toContain('mount it at /var/lib/private/cay')
})
