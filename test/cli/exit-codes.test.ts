import { afterAll, beforeAll, expect, test } from 'bun:test'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { temporaryFolder } from '../../scripts/lib/temporary-folder.ts'
import { openProgram } from '../../src/app/commands.ts'
import { startWithAccounts } from '../support/accounts.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable, type TestServer } from '../support/server.ts'

let server: TestServer
beforeAll(async () => {
  await build()
  server = await startWithAccounts({}, startExecutable)
}, 60_000)
afterAll(() => server.stop())

/** Every command: its words, and what help prints of it. */
const nouns = openProgram([], () => {}).commands.map((command) => command.name())
const commands = openProgram(nouns, () => {}).commands.flatMap((noun) =>
  (noun.commands.length > 0 ? noun.commands : [noun]).map((command) => ({
    name: command === noun ? noun.name() : `${noun.name()} ${command.name()}`,
    command,
  })),
)

test.each(commands.filter(({ name }) => name !== 'complete'))(
  'help of $name: a verb phrase, and placeholders in capitals',
  ({ name, command }) => {
    const help = command.helpInformation()
    expect(help).toStartWith(`Usage: cay ${name}`)
    expect(command.description()).toMatch(/^[A-Z][a-z]+ .*[^.]$/)
    expect(help.split('\n').filter((line) => /<[a-z]/.test(line))).toEqual([])
  },
)

test.each([
  ['--listen bad', /^cay: listen is "bad": expected HOST:PORT/],
  ['--listen 0.0.0.0:5000', /^cay: listen includes 0\.0\.0\.0, which other machines can reach/],
  ['--tls nope', /^cay: tls is "nope": expected off, auto/],
  ['--mirror docker.io=bad', /^cay: mirror is "docker\.io=bad": expected UPSTREAM=HOST:PORT/],
  ['--tls auto --host bad_host', /^cay: host: "bad_host" is neither a name nor an address/],
  ['--trusted-proxies nobody', /^cay: trusted-proxies names "nobody": expected an address/],
  ['--artifacts-allow x', /^cay: artifacts.allow has the entry "x": expected PATTERN=TYPE/],
] as const)('cay config refuses %s as cay serve does, with exit code 2', async (line, message) => {
  await using folder = await temporaryFolder('refused')
  for (const command of ['config', 'serve']) {
    const { code, output, errors } = await runCay([
      command,
      ...line.split(' '),
      '--data',
      join(folder.path, 'data'),
    ])
    expect([command, code, output]).toEqual([command, 2, ''])
    expect(errors).toMatch(message)
  }
})

test.each([
  ['', 2, /Commands:/],
  ['nonsense', 2, /unknown command 'nonsense'/],
  ['servee', 2, /Did you mean one of serve, server\?/],
  ['user crate alice', 2, /Did you mean create\?/],
  ['repo list --limt 3', 2, /Did you mean --limit\?/],
  ['repo show', 2, /missing required argument 'repository'/],
  ['repo list --limit 0', 2, /^cay: invalid --limit "0": expected a whole number from 1$/m],
  ['repo set app', 2, /^cay: name at least one setting to change/],
  ['repo create UPPER', 2, /^cay: .*UPPER/],
  ['user create UPPER', 2, /^cay: name: expected lowercase letters and digits/],
  ['grant create alice a/b owner', 2, /^cay: unknown role "owner": expected reader, writer, admin$/m],
  ['tag show app', 2, /^cay: invalid reference "app": expected REPOSITORY:TAG or REPOSITORY@DIGEST$/m],
  ['tag expire app:1 soon', 2, /^cay: invalid time "soon": expected RFC 3339/],
  ['repo delete app', 3, /^cay: .*app/],
  ['tag show app:1', 3, /^cay: .*app/],
  ['user show nobody', 3, /^cay: there is no user nobody$/m],
  ['token delete admin none', 3, /^cay: admin has no token none$/m],
  ['job show none', 3, /^cay: job none not found/],
  ['group delete team', 3, /^cay: there is no group team$/m],
  ['user demote admin', 1, /^cay: .*no server admin/],
  ['user delete admin', 2, /^cay: this permanently deletes the user admin.*; pass --yes to confirm$/m],
] as const)('cay %s: exit code %i, with one message', async (line, exit, message) => {
  const words = line.split(' ').filter((word) => word !== '')
  const place = exit === 2 && !/^\^/.test(message.source) ? [] : ['--data', server.data]
  const { code, output, errors } = await runCay([...words, ...place], {}, 'correct-horse')
  expect([line, code, output]).toEqual([line, exit, ''])
  expect(errors).toMatch(message)
  expect(errors).not.toMatch(/\n +at /)
})
