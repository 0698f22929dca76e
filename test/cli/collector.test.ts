import { beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { mkdir, utimes, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest, randomBlob } from '../support/content.ts'
import { expectStatus, pushImage } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'
import { until } from '../support/until.ts'

// Each test runs many commands.
setDefaultTimeout(60_000)

beforeAll(async () => {
  await build()
}, 60_000)

const layer = randomBlob(3000)
const image = imageManifest(EMPTY, [layer])

test('cay gc lists and explains garbage, asks for confirmation, and collects it', async () => {
  const settings = { 'gc.grace-seconds': '1', 'gc.window-seconds': '1' }
  await using server = await startExecutable({ settings })
  const run = (line: string) => runCay([...line.split(' '), '--data', server.data])
  const cay = async (line: string) => {
    const { code, output } = await run(line)
    expect([line, code]).toEqual([line, 0])
    return output
  }
  const api = async (path: string) => (await server.fetch(`/api/v1/gc${path}`)).json() as Promise<object>
  await pushImage(server, 'app', image, [layer], { reference: '1' })
  expect(await cay(`gc --explain ${image.digest}`)).toMatch(
    /^The manifest in app is kept\nREASON +WHICH +UNTIL\na tag points to it +1$/m,
  )
  expect(JSON.parse(await cay(`gc --explain ${layer.digest} --repository app --json`))).toEqual(
    await api(`/explain?digest=${layer.digest}&repository=app`),
  )
  const unknown = await run(`gc --explain sha256:${'0'.repeat(64)}`)
  expect([unknown.code, unknown.output]).toEqual([3, ''])
  expect((await run('job start nonsense --yes')).errors).toBe(
    'cay: unknown kind of job "nonsense": expected gc, scan, scrub, retain, or backup\n',
  )
  await expectStatus(await server.fetch(`/v2/app/manifests/${image.digest}`, { method: 'DELETE' }), 202)
  expect(JSON.parse(await cay('gc --dry-run --json'))).toEqual(await api('/candidates'))
  expect(await cay('gc --dry-run')).toMatch(
    new RegExp(
      `^KIND +REPOSITORY .*^manifest +app +${image.digest} +deleted .*^0 tags, 1 manifest, 0 repositories, `,
      'ms',
    ),
  )
  await until(async () => {
    const [{ waitingUntil }, { items }] = (await Promise.all([api(''), api('/candidates')])) as [
      { waitingUntil?: string },
      { items: { collectableAt: string }[] },
    ]
    return (
      waitingUntil === undefined && items.every(({ collectableAt }) => Date.parse(collectableAt) < Date.now())
    )
  })
  const asked = await run('gc')
  expect([asked.code, asked.output]).toEqual([2, ''])
  expect(asked.errors).toMatch(/^cay: this permanently deletes 1 manifest, \d.*; pass --yes to confirm\n$/)
  expect(await cay('gc --yes')).toMatch(/^Kind: +gc\nState: +done\n.*^manifests: +1\n/ms)
  expect((await run('gc --dry-run')).output).not.toContain(image.digest)
  expect(await cay('gc status')).toMatch(
    /^Grace period: +1 second\nWindow: +1 second\n.*^Manifests deleted: +1$/ms,
  )
  expect(await cay('job start scan --yes')).toMatch(/^State: +done\n.*^missing: +0\n/ms)
  expect(await cay('job list')).toMatch(/^ID .*\n\S+ +scan +done .*\n\S+ +gc +done /)
})

test('cay repo purge, manifest purge and gc --now free the space of what could still be restored', async () => {
  await using server = await startExecutable({ settings: { 'gc.grace-seconds': '1' } })
  const run = (line: string) => runCay([...line.split(' '), '--data', server.data])
  const big = [1, 2, 3].map(() => randomBlob(100_000))
  const images = big.map((blob) => imageManifest(EMPTY, [blob]))
  const fileOf = (at: number) => {
    const hex = big[at]?.digest.slice(7) ?? ''
    return join(server.data, 'blobs/sha256', hex.slice(0, 2), hex)
  }
  for (const [at, image] of images.entries())
    await pushImage(server, `app${at}`, image, big.slice(at, at + 1), { reference: '1' })
  expect(big.map((_, at) => existsSync(fileOf(at)))).toEqual([true, true, true])
  const pushed = Date.now()
  await until(async () => JSON.parse((await run('gc status --json')).output).waitingUntil === undefined)
  for (const line of ['repo delete app0', `manifest delete app1@${images[1]?.digest}`, 'tag delete app2:1'])
    expect((await run(`${line} --yes`)).code).toBe(0)
  // A grace after the last push, there is nothing left to wait for.
  await until(() => Date.now() - pushed > 1500)
  const asked = await run('repo purge app0')
  expect([asked.code, asked.output]).toEqual([2, ''])
  expect(asked.errors).toMatch(
    /^cay: this permanently deletes 1 deleted repository in app0 \(9\d.*\), without a way to restore; pass --yes to confirm\n$/,
  )
  expect((await run('repo purge app0 --yes')).output).toBe(
    'purged app0: 1 repository; the space is freed now\n',
  )
  await until(() => !existsSync(fileOf(0)))
  expect((await run(`manifest purge app1@${images[1]?.digest} --yes`)).output).toBe(
    'purged app1: 1 manifest; the space is freed now\n',
  )
  await until(() => !existsSync(fileOf(1)))
  expect((await run('gc --now --yes')).errors).toContain('purged 1 manifest; the space is freed now')
  await until(() => !existsSync(fileOf(2)))
  expect((await run('repo purge app2 --yes')).output).toBe(
    'nothing to purge: app2 has no deleted or untagged manifests\n',
  )
})

test('cay job start scan needs --remove-many to delete more than a tenth of the files', async () => {
  await using server = await startExecutable({ settings: { 'gc.grace-seconds': '1' } })
  const file = join(server.data, 'blobs/sha256/00', '0'.repeat(64))
  await mkdir(dirname(file), { recursive: true })
  await writeFile(file, 'of no row')
  await utimes(file, 0, 0)
  const run = (line: string) => runCay([...line.split(' '), '--data', server.data])
  const { waitingUntil } = JSON.parse((await run('gc status --json')).output)
  await until(() => waitingUntil === undefined || Date.now() > Date.parse(waitingUntil))
  const refused = await run('job start scan --yes')
  expect([refused.code, existsSync(file)]).toEqual([1, true])
  expect(refused.errors).toMatch(
    /job \S+ failed: 1 of 1 blob files are not in the database, .*--remove-many\n$/,
  )
  expect((await run('job start scan --remove-many --yes')).output).toMatch(/^removed: +1$/m)
  expect(existsSync(file)).toBe(false)
})

test('cay gc deletes nothing before the server has run for the grace period', async () => {
  await using folder = await temporaryFolder('collector')
  await using server = await startExecutable({ data: folder.path })
  const served = await runCay(['gc', '--data', server.data])
  expect([served.code, served.errors]).toEqual([0, ''])
  expect(served.output).toMatch(
    /^nothing was deleted: the server has not run for the grace period yet; it collects garbage from 20/,
  )
  const asJson = await runCay(['gc', '--json', '--data', server.data])
  expect([asJson.code, Object.keys(JSON.parse(asJson.output))]).toEqual([0, ['waitingUntil']])
  await server.stop()
  const alone = await runCay(['gc', '--yes', '--data', server.data])
  expect([alone.code, alone.output]).toEqual([1, ''])
  expect(alone.errors).toStartWith('cay: no server is running on this data folder: start cay serve')
})

test('cay access shows what an account can do, and why', async () => {
  await using server = await startWithAccounts({}, startExecutable)
  await server.addUser('alice')
  await server.grant('alice', 'team/**', 'writer')
  const cay = async (line: string) => {
    const { code, output, errors } = await runCay([...line.split(' '), '--data', server.data])
    expect([line, code, errors]).toEqual([line, 0, ''])
    return output
  }
  expect(await cay('access show alice team/app')).toMatch(
    /^alice can: +pull, push\n\nGranted by\nREASON +SUBJECT +PATTERN +ROLE +GIVES\naccount +alice +team\/\*\* +writer +pull, push\n$/,
  )
  expect(await cay('access show anonymous team/app')).toBe('anonymous can:  nothing\n')
  expect(JSON.parse(await cay('access show alice other --json'))).toEqual(
    await server.admin('GET', '/access?account=alice&repository=other'),
  )
})
