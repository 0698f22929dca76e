import { beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'

beforeAll(async () => {
  await build()
}, 60_000)

describe('commands on a host ask the running server', () => {
  test('for its address, names and settings', async () => {
    await using server = await startExecutable({
      settings: { tls: 'auto', host: 'registry.example', 'lists.page-max': '7', upstream: 'docker.io' },
    })
    const cay = (...args: string[]) => runCay([...args, '--data', server.data])
    const { host, port } = new URL(server.url)
    expect(await cay('health')).toEqual({ code: 0, output: 'ok\n', errors: '' })
    expect((await cay('trust')).output).toContain(`https://registry.example:${port}/rootCA.pem`)
    expect((await cay('trust', '--host', 'other.example')).output).toContain(`other.example:${port}/`)
    const { output } = await cay('config')
    expect(output).toStartWith(`# The settings of the server that listens on ${host}\n`)
    expect(Bun.TOML.parse(output)).toMatchObject({ host: ['registry.example'], lists: { 'page-max': 7 } })
    expect((await cay('client-setup', 'containerd')).output).toContain(`[host."https://${host}"]`)
    expect((await cay('server')).output).toMatch(new RegExp(`^Listens on: +${host}$`, 'm'))
  })

  test('and say so if none is running, with exit code 5', async () => {
    await using folder = await temporaryFolder('stopped')
    const server = await startExecutable({ data: folder.path })
    await server.stop()
    const cay = (...args: string[]) => runCay([...args, '--data', folder.path])
    expect(await cay('server')).toMatchObject({
      code: 5,
      errors: 'cay: no server is running on this data folder: start cay serve\n',
    })
    const health = await cay('health', '--listen', '127.0.0.1:9')
    expect([health.code, health.output]).toEqual([5, ''])
    expect(health.errors).toMatch(
      /^cay: http:\/\/127\.0\.0\.1:9 does not answer \(.*\): is cay serve running there\?\n$/,
    )
  })
})

test.each(['repo list', 'user list', 'gc --dry-run', 'storage', 'user create alice'])(
  'cay %s creates nothing in a folder without a registry: exit code 3',
  async (line) => {
    await using folder = await temporaryFolder('typo')
    const data = join(folder.path, 'typo')
    const { code, errors } = await runCay([...line.split(' '), '--data', data], {}, '')
    expect([code, errors]).toEqual([
      3,
      `cay: ${data} has no registry: check --data, or create one with cay serve\n`,
    ])
    expect(readdirSync(folder.path)).toEqual([])
  },
)

describe('cay serve refuses a folder that it cannot use, and leaves it alone', () => {
  test.each<[string, (folder: string) => void, RegExp]>([
    [
      'of registry:2',
      (folder) => mkdirSync(join(folder, 'docker/registry/v2'), { recursive: true }),
      /is the data folder of registry:2: choose another folder with --data, and import the images with cay import /,
    ],
    [
      'of another program',
      (folder) => mkdirSync(join(folder, 'pg_wal')),
      /belongs to another program \(it contains the folder pg_wal\): choose an empty folder with --data$/m,
    ],
  ])('%s', async (_, prepare, message) => {
    await using folder = await temporaryFolder('foreign')
    prepare(folder.path)
    const before = readdirSync(folder.path)
    const { code, errors } = await runCay(['serve', '--data', folder.path, '--listen', '127.0.0.1:0'])
    expect(code).toBe(1)
    expect(errors).toMatch(message)
    expect(readdirSync(folder.path)).toEqual(before)
  })

  test('that is a file', async () => {
    await using folder = await temporaryFolder('file')
    const data = join(folder.path, 'data')
    writeFileSync(data, '')
    const { code, errors } = await runCay(['serve', '--data', data, '--listen', '127.0.0.1:0'])
    expect([code, errors]).toEqual([1, `cay: ${data} is not a folder: choose another folder with --data\n`])
  })
})

test.each([
  ['--tls nonsense', 'cay: tls is "nonsense": expected off'],
  ['--tls none.pem,none.pem', 'cay: tls: cannot read none.pem'],
  ['--mirror nonsense', 'cay: mirror is "nonsense": expected UPSTREAM=HOST:PORT'],
  ['--trusted-proxies nonsense', 'cay: trusted-proxies names "nonsense": expected an address'],
  ['--artifacts-allow nonsense', 'cay: artifacts.allow has the entry "nonsense": expected PATTERN=TYPE'],
  ['--listen 5000', 'cay: listen is "5000": expected HOST:PORT'],
])('cay serve %s: exit code 2, with what is expected', async (options, message) => {
  await using folder = await temporaryFolder('settings')
  const place = options.startsWith('--listen') ? [] : ['--listen', '127.0.0.1:0']
  const { code, errors } = await runCay(['serve', '--data', folder.path, ...place, ...options.split(' ')])
  expect(code).toBe(2)
  expect(errors.split('\n').at(-2)).toStartWith(message)
})
