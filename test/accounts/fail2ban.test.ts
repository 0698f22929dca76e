import { expect, test } from 'bun:test'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { basic, startWithAccounts } from '../support/accounts.ts'
import { expectStatus } from '../support/push.ts'
import { startExecutable } from '../support/server.ts'
import { until } from '../support/until.ts'

/** Returns the expression of the filter, in the syntax of JavaScript. fail2ban cuts the time out of a line first. */
async function readFilter(): Promise<RegExp> {
  const page = await Bun.file(join(import.meta.dir, '../../docs/logs.md')).text()
  const [, failregex = ''] = /^failregex = (.+)$/m.exec(page) ?? []
  return new RegExp(failregex.replace('<ADDR>', '(?<address>[0-9a-f:.]+)'))
}

test('fail2ban: the filter of docs/logs.md finds the address of failed sign-ins, and nothing that a client makes up', async () => {
  await build()
  const filter = await readFilter()
  await using server = await startWithAccounts({}, startExecutable)
  const names = ['admin', '9.9.9.9', '","address":"9.9.9.9","msg":"failed sign-in"}']
  for (const name of names) await expectStatus(await server.as(basic(name, 'wrong')).fetch('/token'), 401)
  const admin = server.as(basic('admin'))
  await expectStatus(await admin.fetch('/v2/', { headers: { 'user-agent': names[2] ?? '' } }), 200)
  // The log was parsed; the executable writes its fields in this order.
  const lines = () => server.log().map((line) => JSON.stringify(line))
  await until(() => lines().filter((line) => line.includes('"signed in"')).length === 1)
  for (const cut of [(line: string) => line, (line: string) => line.replace(/"time":"[^"]*"/, '')]) {
    const found = lines().map((line) => filter.exec(cut(line))?.groups?.address)
    expect(found.filter((address) => address !== undefined)).toEqual(names.map(() => '127.0.0.1'))
  }
  expect(filter.test(`host cay[7]: ${lines().find((line) => line.includes('"failed sign-in"'))}`)).toBe(true)
}, 30_000)
