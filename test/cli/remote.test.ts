import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { isOpenToOthers } from '../../src/cli/connection.ts'
import { authorityPath } from '../../src/tls/tls.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable, type TestServer } from '../support/server.ts'

beforeAll(async () => {
  await build()
}, 60_000)

describe('cay --server, over TLS', () => {
  let server: TestServer
  const resources = new AsyncDisposableStack()
  let folder: TemporaryFolder
  let url: string
  let ca: string
  let token: string
  let aliceToken: string
  beforeAll(async () => {
    folder = resources.use(await temporaryFolder('remote'))
    server = resources.use(await startExecutable({ settings: { access: 'accounts', tls: 'auto' } }))
    url = server.url.replace('http:', 'https:')
    ca = authorityPath(server.data)
    const here = async (line: string, input?: string) => {
      const { code, output, errors } = await runCay([...line.split(' '), '--data', server.data], {}, input)
      expect([line, code, errors]).toEqual([line, 0, ''])
      return output
    }
    await here('user create alice', 'correct-horse\n')
    token = JSON.parse(await here('token create admin tests --json')).secret
    aliceToken = JSON.parse(await here('token create alice tests --json')).secret
  }, 60_000)
  afterAll(() => resources.disposeAsync())

  const there = (line: string, env: Record<string, string> = {}, input?: string) =>
    runCay([...line.split(' '), '--server', url, '--ca', ca], env, input)

  test('accepts a token from the environment, a file or the command line', async () => {
    const response = await fetch(`${url}/api/v1/users`, {
      headers: { authorization: `Bearer ${token}` },
      tls: { ca: await Bun.file(ca).text() },
    })
    const users = await response.json()
    const file = join(folder.path, 'token')
    await Bun.write(file, `${token}\n`)
    const runs = [
      there('user list --json', { CAY_TOKEN: token }),
      there('user list --json', { CAY_TOKEN_FILE: file }),
      there(`user list --json --token ${token}`, { CAY_TOKEN: 'cay_other' }),
      runCay(['user', 'list', '--json', '--ca', ca], { CAY_TOKEN: token, CAY_SERVER: url }),
    ]
    for (const { code, output, errors } of await Promise.all(runs)) {
      expect([code, errors]).toEqual([0, ''])
      expect(JSON.parse(output)).toEqual(users)
    }
  })

  test('changes the remote server, not a data folder on this host', async () => {
    const { code, output } = await there('user create bob', { CAY_TOKEN: token }, 'correct-horse\n')
    expect([code, output]).toEqual([0, 'created user bob\n'])
    expect((await there('user show bob', { CAY_TOKEN: token })).output).toMatch(/^Name: +bob\nCreated: +20/)
  })

  test('a missing or invalid token, or missing permissions: exit code 4, with what to do', async () => {
    for (const line of ['user list', 'repo list'])
      expect(await there(line)).toEqual({
        code: 4,
        output: '',
        errors: `cay: not signed in to ${url}: run cay login ${url}, or set CAY_TOKEN to a token from cay token create\n`,
      })
    const wrong = await there('user list', { CAY_TOKEN: 'cay_wrong' })
    expect([wrong.code, wrong.output]).toEqual([4, ''])
    expect(wrong.errors).toMatch(
      /^cay: .*; run cay login https:.*, or set CAY_TOKEN, CAY_TOKEN_FILE or --token\n$/,
    )
    expect(wrong.errors).not.toContain('cay_wrong')
    const { code, errors } = await there('user list', { CAY_TOKEN: aliceToken })
    expect([code, errors]).toEqual([4, 'cay: only a server admin may do this\n'])
  })

  test('cay login keeps a token for the commands, and cay logout revokes it', async () => {
    const home = { XDG_CONFIG_HOME: join(folder.path, 'config') }
    const cay = (line: string, input?: string) => runCay(line.split(' '), home, input)
    const wrong = await cay(`login ${url} --username alice --ca ${ca}`, 'wrong-horse\n')
    expect(wrong).toEqual({
      code: 4,
      output: '',
      errors: 'cay: the name or the password is wrong, or the account is disabled\n',
    })
    expect(await cay('logout')).toEqual({ code: 4, output: '', errors: 'cay: not signed in\n' })
    expect(await cay(`login ${url} --username alice --ca ${ca}`, 'correct-horse\n')).toEqual({
      code: 0,
      output: `signed in to ${url} as alice; commands use it until cay logout\n`,
      errors: '',
    })
    const path = join(home.XDG_CONFIG_HOME, 'cay/servers.json')
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect((await cay('token list alice')).output).toMatch(/cay login on /)
    expect(await cay('logout')).toEqual({ code: 0, output: `signed out of ${url}\n`, errors: '' })
    expect((await cay(`user list --server ${url} --ca ${ca}`)).code).toBe(4)
    const left = JSON.parse((await there('token list alice --json', { CAY_TOKEN: token })).output)
    expect(left.items.map(({ name }: { name: string }) => name)).toEqual(['tests'])
  })

  test('cay login reads a token from standard input', async () => {
    const home = { XDG_CONFIG_HOME: join(folder.path, 'tokens') }
    const cay = (line: string, input?: string) => runCay(line.split(' '), home, input)
    expect((await cay(`login ${url} --ca ${ca}`, 'cay_wrong')).code).toBe(4)
    expect((await cay(`login ${url} --ca ${ca}`, token)).output).toContain(' as admin; ')
    expect((await cay('user list')).code).toBe(0)
    expect((await cay('user list --data /nonexistent')).code).toBe(3)
    expect((await cay(`logout ${url}`)).code).toBe(0)
    expect((await there('user list', { CAY_TOKEN: token })).code).toBe(0)
  })

  test('a certificate that is not trusted: exit code 5, with what to do', async () => {
    const { code, output, errors } = await runCay(['user', 'list', '--server', url], { CAY_TOKEN: token })
    expect([code, output]).toEqual([5, ''])
    expect(errors).toContain(`the certificate of ${url} is not trusted`)
    expect(errors).toMatch(/cay trust .* --ca FILE\n$/)
  })

  test('trusts the authorities of the system', async () => {
    const env = { CAY_TOKEN: token, SSL_CERT_FILE: ca }
    expect((await runCay(['user', 'list', '--server', url], env)).code).toBe(0)
  })
})

test('--server: a server that is not cay gets one line of error, and a redirect never gets the token', async () => {
  const asked: (string | null)[] = []
  using elsewhere = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      asked.push(request.headers.get('authorization'))
      return new Response('{"items":[]}')
    },
  })
  using server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch(request) {
      const { pathname } = new URL(request.url)
      if (pathname.endsWith('/users')) return Response.redirect(elsewhere.url.href, 307)
      if (pathname.endsWith('/tokens'))
        return Response.json({ detail: 'no\x1b[2J\u009b2J\u202e' }, { status: 400 })
      return new Response('<html>', { status: pathname.endsWith('/robots') ? 502 : 200 })
    },
  })
  const cay = (line: string) =>
    runCay([...line.split(' '), '--server', `http://127.0.0.1:${server.port}`], { CAY_TOKEN: 'cay_secret' })
  expect(await cay('user list')).toEqual({
    code: 1,
    output: '',
    errors: `cay: the server redirects to ${elsewhere.url.href}: use that address with --server\n`,
  })
  expect((await cay('robot list')).errors).toBe('cay: the server responded with 502\n')
  expect((await cay('group list')).errors).toBe(
    'cay: the response is not JSON: is this the address of a cay server?\n',
  )
  expect((await cay('token list alice')).errors).toBe('cay: no [2J 2J \n')
  expect(asked).toEqual([])
})

test('cay login and cay logout print nothing of a server that could change the terminal', async () => {
  await using folder = await temporaryFolder('hostile')
  using server = Bun.serve({
    hostname: '127.0.0.1',
    port: 0,
    fetch({ method, url }) {
      if (method === 'DELETE') return Response.json({ detail: 'no\x1b[2J' }, { status: 400 })
      const isCaller = new URL(url).pathname.endsWith('/caller')
      return Response.json(isCaller ? { account: 'alice\x1b[2J' } : { id: 'one', secret: 'cay_secret' })
    },
  })
  const origin = `http://127.0.0.1:${server.port}`
  const cay = (...words: string[]) =>
    runCay(words, { XDG_CONFIG_HOME: folder.path }, words[0] === 'login' ? 'a password or a token\n' : '')
  const signedIn = (account: string) => ({
    code: 0,
    output: `signed in to ${origin} as ${account}; commands use it until cay logout\n`,
    errors: '',
  })
  expect(await cay('login', origin)).toEqual(signedIn('alice [2J'))
  expect(await cay('login', origin, '--username', 'alice')).toEqual(signedIn('alice'))
  expect(await cay('logout')).toEqual({
    code: 0,
    output: `signed out of ${origin}\n`,
    errors: 'cay: warning: the token could not be revoked: no [2J\n',
  })
})

test('--server: http to another host counts as readable by others, https and loopback do not', () => {
  const open = ['http://registry.example', 'http://192.0.2.1:5000']
  const closed = [
    'https://registry.example',
    'http://127.0.0.1:5000',
    'http://[::1]:5000',
    'http://localhost',
  ]
  expect([...open, ...closed].filter((url) => isOpenToOthers(new URL(url)))).toEqual(open)
})

test('--server: a server that does not answer gives exit code 5', async () => {
  const { code, output, errors } = await runCay(['user', 'list', '--server', 'http://127.0.0.1:9'])
  expect([code, output]).toEqual([5, ''])
  expect(errors).toMatch(/^cay: http:\/\/127\.0\.0\.1:9 does not answer .*: is cay serve running there\?\n$/)
})

test.each([
  ['user list --server :x', 'invalid server ":x": expected https://HOST:PORT'],
  ['user list --server ftp://h', 'invalid server "ftp://h": expected https://HOST:PORT'],
  ['user list --server https://h/v2/', 'invalid server "https://h/v2/": expected https://HOST:PORT'],
  ['user list --server https://h --data /x', '--server and --data cannot be combined: use --server'],
  ['user list --token cay_x', '--token works only with a remote server: add --server'],
  ['user list --server https://h --ca /nonexistent', 'cannot read /nonexistent (from --ca): '],
  ['user list --limit 0', 'invalid --limit "0": expected a whole number from 1'],
  [
    'token create a b --expires x --server http://127.0.0.1:9',
    '--expires is "x": expected whole days, such as 90, 90d or 12w',
  ],
  [
    'token create a b --scope x --server http://127.0.0.1:9',
    'invalid rule "x" in --scope: expected PATTERN=ROLE',
  ],
])('%s: exit code 2', async (line, message) => {
  const { code, output, errors } = await runCay(line.split(' '))
  expect([code, output]).toEqual([2, ''])
  expect(errors).toStartWith(`cay: ${message}`)
})
