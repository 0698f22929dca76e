import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { type TemporaryFolder, temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { EMPTY, imageManifest, type Named, named } from '../support/content.ts'
import { pushImage } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable, type TestServer } from '../support/server.ts'
import { tar } from '../support/tar.ts'

const resources = new AsyncDisposableStack()
let folder: TemporaryFolder
let server: TestServer

const base = named(
  Bun.gzipSync(tar([{ name: 'etc/motd', content: 'welcome\n' }, { name: 'etc/\u202eevil' }])),
)
const top = named(
  tar([
    { name: 'etc/motd', content: 'changed\n' },
    { name: 'bin/new', content: 'x'.repeat(2000) },
  ]),
)

async function push(tag: string, layers: Named[]): Promise<void> {
  await pushImage(server, 'app', imageManifest(EMPTY, layers), layers, { reference: tag })
}

beforeAll(async () => {
  await build()
  folder = resources.use(await temporaryFolder('files'))
  server = resources.use(await startExecutable({ data: folder.path }))
  await push('1.0', [base])
  await push('2.0', [base, top])
}, 120_000)
afterAll(() => resources.disposeAsync())

async function cay(...args: string[]): Promise<string> {
  const { code, output, errors } = await runCay([...args, '--data', folder.path])
  expect([args, code, errors]).toEqual([args, 0, ''])
  return output
}

test('file list prints a directory of an image, or of one of its layers', async () => {
  expect(await cay('file', 'list', 'app:2.0')).toMatch(/directory +bin.*\n.*directory +etc/)
  const list = await cay('file', 'list', 'app:2.0', 'etc')
  expect(list).toMatch(/0644 +0 +0 +8 B .* file +etc\/motd/)
  expect(list).not.toContain('\u202e')
  const layer = JSON.parse(await cay('file', 'list', 'app:2.0', '--layer', top.digest.slice(0, 19), '--json'))
  expect(layer.items.map(({ name }: { name: string }) => name)).toEqual(['bin', 'etc'])
  const none = await runCay(['file', 'list', 'app:2.0', 'none', '--data', folder.path])
  expect([none.code, none.errors]).toEqual([3, 'cay: there is no /none\n'])
})

test('file find prints the files whose names contain a text', async () => {
  expect(await cay('file', 'find', 'app:2.0', 'MOT')).toMatch(/file +etc\/motd/)
})

test('file get prints a file byte for byte, or writes it to a file', async () => {
  expect(await cay('file', 'get', 'app:1.0', 'etc/motd')).toBe('welcome\n')
  const target = join(folder.path, 'motd')
  expect(await cay('file', 'get', 'app:2.0', '/etc/motd', '--output', target)).toBe(`wrote ${target}\n`)
  expect(await Bun.file(target).text()).toBe('changed\n')
})

test('file compare prints what was added, changed and removed', async () => {
  const output = await cay('file', 'compare', 'app:1.0', '2.0')
  expect(output).toMatch(/added +bin\/new .*2\.0 KiB/)
  expect(output).toMatch(/changed +etc\/motd +content +8 B +8 B/)
  expect(output).toMatch(/\n2 added, 1 changed, 0 removed\n$/)
})

test('file commands work on a data folder that no server has', async () => {
  await server.stop()
  expect(await cay('file', 'get', 'app:2.0', 'etc/motd')).toBe('changed\n')
})
