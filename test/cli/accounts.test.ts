import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { startServer } from '../../scripts/lib/server.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { parseHtpasswd } from '../../src/accounts/command.ts'
import { type AccountsServer, basic, PASSWORD, startWithAccounts } from '../support/accounts.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'

beforeAll(async () => {
  await build()
}, 60_000)

for (const kind of ['a running server', 'a data folder that no server has']) {
  describe(`commands for accounts, on ${kind}`, () => {
    const resources = new AsyncDisposableStack()
    let folder: TemporaryFolder
    let server: AccountsServer
    const isRunning = kind === 'a running server'
    beforeAll(async () => {
      folder = resources.use(await temporaryFolder('accounts'))
      server = resources.use(await startWithAccounts({ data: folder.path }, startExecutable))
      if (!isRunning) await server.stop()
    }, 60_000)
    afterAll(() => resources.disposeAsync())

    const cay = async (line: string, input?: string) => {
      const { code, output, errors } = await runCay([...line.split(' '), '--data', folder.path], {}, input)
      expect([line, code, errors]).toEqual([line, 0, ''])
      return output
    }
    const json = async (line: string) => JSON.parse(await cay(`${line} --json`))
    const items = async (line: string) => (await json(line)).items
    const refused = async (line: string, input?: string, exit = 1) => {
      const { code, output, errors } = await runCay([...line.split(' '), '--data', folder.path], {}, input)
      expect([line, code, output]).toEqual([line, exit, ''])
      return errors
    }

    test('users are added, changed, promoted, disabled and deleted', async () => {
      expect(await cay('user create alice', `${PASSWORD}\n`)).toBe('created user alice\n')
      await cay('user create root --admin', `${PASSWORD}\n`)
      await cay('user demote root')
      await cay('user disable root')
      expect(await items('user list')).toMatchObject([
        { name: 'admin', admin: true, disabled: false },
        { name: 'alice', admin: false, disabled: false },
        { name: 'root', admin: false, disabled: true },
      ])
      await cay('user enable root')
      await cay('user promote root')
      await cay('user passwd root', 'another-horse\n')
      await cay('user delete root --yes')
      expect(await refused('user create alice', `${PASSWORD}\n`)).toMatch(/^cay: user alice already exists$/m)
      expect(await refused('user create bob', 'short\n', 2)).toMatch(/^cay: password: .*\n$/)
      expect(await refused('user demote admin')).toContain('no server admin')
    }, 60_000)

    test('robots, tokens, groups, grants and keys are changed, and the audit log records it', async () => {
      const { id, secret } = await json('robot create alice+ci')
      expect(secret).toStartWith('cay_')
      expect(await items('token list alice+ci')).toMatchObject([{ id, name: 'first' }])
      expect(id).toBeString()
      expect(await cay('token delete alice+ci first --yes')).toBe('revoked token first of alice+ci\n')
      await cay('token create alice laptop --expires 7d --scope alice/app=reader,alice/b/**=writer')
      expect(await items('token list alice')).toMatchObject([
        {
          name: 'laptop',
          scope: [
            { pattern: 'alice/app', role: 'reader' },
            { pattern: 'alice/b/**', role: 'writer' },
          ],
        },
      ])
      await cay('robot disable alice+ci')
      expect(await items('robot list')).toMatchObject([{ name: 'alice+ci', disabled: true }])
      await cay('group create team')
      await cay('group join team alice alice+ci')
      await cay('group leave team alice+ci')
      expect(await json('group show team')).toEqual({ name: 'team', members: ['alice'] })
      await cay('grant create group:team team/** writer')
      await cay('grant create anonymous public/** reader')
      await cay('grant delete anonymous public/** --yes')
      expect(await cay('grant list')).toMatch(
        /^SUBJECT +PATTERN +ROLE +CREATED\ngroup:team +team\/\*\* +writer +20\d\d-/,
      )
      const { id: key } = await json('key rotate')
      expect(
        (await items('key list')).map(({ expiresAt }: { expiresAt?: string }) => typeof expiresAt),
      ).toEqual(['string', 'undefined'])
      expect((await items('key list')).at(-1).id).toBe(key)
      await cay('key rotate --now')
      expect((await items('key list')).length).toBe(1)
      await cay('user unlock alice')
      expect(await items('audit --kind denied')).toEqual([])
      const trail = await cay('audit')
      expect(trail).toMatch(/ owner \(socket\) +user\.unlock +alice /)
      expect(trail).toMatch(/ owner \(socket\) +signing-key\.create /)
      expect(trail).not.toContain(secret)
    }, 60_000)

    test('user import adds the users of an htpasswd file with their passwords', async () => {
      const hash = (await Bun.password.hash('from-before', { algorithm: 'bcrypt', cost: 4 })).replace(
        '$2b$',
        '$2y$',
      )
      const file = join(folder.path, 'htpasswd')
      await Bun.write(file, `# people\nfrom-nginx:${hash}\n`)
      expect(await cay(`user import ${file}`)).toBe('created 1 user: from-nginx\n')
      await Bun.write(file, 'other:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n')
      expect(await refused(`user import ${file}`, undefined, 2)).toContain(
        'the password hash of other is SHA-1: only bcrypt is accepted',
      )
      if (!isRunning) return
      expect((await server.as(basic('from-nginx', 'from-before')).fetch('/v2/')).status).toBe(200)
      expect((await server.as(basic('from-nginx', 'wrong-one')).fetch('/v2/')).status).toBe(401)
    }, 60_000)
  })
}

test('the socket is private to its owner, and is removed when the server stops', async () => {
  await using folder = await temporaryFolder('socket')
  await using server = await startExecutable({ data: folder.path })
  const path = join(folder.path, 'cay.sock')
  expect(((await Bun.file(path).stat()).mode & 0o777).toString(8)).toBe('600')
  await server.stop()
  expect(existsSync(path)).toBe(false)
})

test('a socket that a crash left stops neither commands nor the next server', async () => {
  await using folder = await temporaryFolder('socket')
  await (await startExecutable({ data: folder.path })).stop()
  const listener = Bun.spawn(
    [process.execPath, '-e', `Bun.listen({unix: 'cay.sock', socket: {data() {}}}); console.log(1)`],
    { cwd: folder.path, stdout: 'pipe' },
  )
  await listener.stdout.getReader().read()
  listener.kill('SIGKILL')
  await listener.exited
  expect(existsSync(join(folder.path, 'cay.sock'))).toBe(true)
  expect((await runCay(['user', 'list', '--data', folder.path])).code).toBe(0)
  await using server = await startExecutable({ data: folder.path })
  expect((await runCay(['user', 'list', '--data', server.data])).code).toBe(0)
})

test.each(['CAY_ADMIN_PASSWORD', 'CAY_ADMIN_PASSWORD_FILE'])('%s sets the first password', async (name) => {
  await using folder = await temporaryFolder('preset')
  const file = join(folder.path, 'secret')
  await Bun.write(file, 'preset-horse\n')
  const value = name.endsWith('FILE') ? file : 'preset-horse'
  await using server = await startServer({ access: 'accounts', data: folder.path, env: { [name]: value } })
  const headers = { authorization: basic('admin', 'preset-horse') }
  expect((await fetch(`http://${server.address}/v2/`, { headers })).status).toBe(200)
  expect(existsSync(join(folder.path, 'initial-admin-password'))).toBe(false)
  expect(server.log()).not.toContain('preset-horse')
})

test('a first password that is too short stops the start', async () => {
  await using folder = await temporaryFolder('preset')
  const { code, errors } = await runCay(['serve', '--listen', '127.0.0.1:0', '--data', folder.path], {
    CAY_ADMIN_PASSWORD: 'short',
  })
  expect([code, errors]).toEqual([
    2,
    expect.stringMatching(/^cay: CAY_ADMIN_PASSWORD cannot be used: .* at least 8 characters.*\n$/),
  ])
})

test('htpasswd: comments and empty lines are skipped, and an invalid line is named', () => {
  expect(parseHtpasswd('\n# a\r\nalice:$2y$05$x\r\nbob:$2y$05$y \n')).toEqual([
    { name: 'alice', passwordHash: '$2y$05$x' },
    { name: 'bob', passwordHash: '$2y$05$y' },
  ])
  for (const line of ['alice', 'alice:', ':x']) {
    expect(() => parseHtpasswd(`\n${line}`)).toThrow('line 2 of the htpasswd file is not NAME:HASH')
  }
})
