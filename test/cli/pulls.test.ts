import { expect, test } from 'bun:test'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { basic, startWithAccounts } from '../support/accounts.ts'
import { EMPTY, imageManifest } from '../support/content.ts'
import { expectStatus, pushImage } from '../support/push.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable } from '../support/server.ts'

test('commands: repo show, repo pulls and tag pulls say who pulled', async () => {
  await build()
  await using folder = await temporaryFolder('pulls')
  const server = await startWithAccounts({ data: folder.path }, startExecutable)
  const admin = server.as(basic('admin'))
  await server.grant('anonymous', 'team/app', 'reader')
  await pushImage(admin, 'team/app', imageManifest(EMPTY, []), [], { reference: 'v1' })
  for (const one of [admin, admin, server]) {
    await expectStatus(await one.fetch('/v2/team/app/manifests/v1'), 200)
  }
  await server.stop()
  const cay = async (line: string) => {
    const { code, output, errors } = await runCay([...line.split(' '), '--data', folder.path])
    expect([line, code, errors]).toEqual([line, 0, ''])
    return output
  }
  const day = new Date().toISOString().slice(0, 10)
  const table = new RegExp(
    `Pulled by, in the last 90 days\nACCOUNT +PULLS +LAST\n(anonymous +1 +${day}\nadmin +2|admin +2 +${day}\nanonymous +1) +${day}\n`,
  )
  expect(await cay('repo show team/app')).toMatch(table)
  expect(await cay('tag show team/app v1')).toMatch(table)
  for (const line of ['repo pulls team/app', 'tag pulls team/app:v1', 'tag pulls team/app v1']) {
    const output = await cay(line)
    expect(output).toMatch(/^DAY +TAG +ACCOUNT +PULLS\n/)
    expect(output).toMatch(new RegExp(`\n${day} +v1 +admin +2\n`))
    expect(output).toMatch(new RegExp(`\n${day} +v1 +anonymous +1\n`))
  }
}, 30_000)
