import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { join } from 'node:path'
import { build } from '../../scripts/build.ts'
import { NOUNS, openProgram } from '../../src/app/commands.ts'
import { EXIT_CODES } from '../../src/cli/failure.ts'
import { startWithAccounts } from '../support/accounts.ts'
import { runCay } from '../support/run-cay.ts'
import { startExecutable, type TestServer } from '../support/server.ts'
import { until } from '../support/until.ts'

const root = join(import.meta.dir, '../..')
const page = await Bun.file(join(root, 'docs/commands.md')).text()

beforeAll(async () => {
  await build()
}, 60_000)

test('docs/commands.md lists every noun and verb with the summaries of the help', () => {
  const rows = Object.entries(NOUNS).map(([noun, { summary, verbs, byDefault }]) => {
    const words = Object.keys(verbs).map((verb) => `\`${verb === byDefault ? `[${verb}]` : verb}\``)
    return `| \`cay ${noun}\` | ${words.join(', ')} | ${summary} |`
  })
  expect(page.split('\n').filter((line) => line.startsWith('| `cay '))).toEqual(rows)
})

test('docs and help: each command that they name exists, under its own name', async () => {
  const program = openProgram(Object.keys(NOUNS), () => undefined)
  const commands = new Map(program.commands.map((command) => [command.name(), command.commands]))
  // The library of the completions and Commander add these.
  for (const name of ['complete', 'help']) commands.set(name, [])
  const unknown: string[] = []
  const paths = ['README.md', ...new Bun.Glob('docs/**/*.md').scanSync(root)]
  const pages = paths.map(async (path) => [path, await Bun.file(join(root, path)).text()] as const)
  const { output } = await runCay(['help'])
  expect(output).toMatch(/^First steps:\n {2}cay serve {2}/m)
  for (const [path, text] of [
    ['cay help', `\`\`\`\n${output.replaceAll(/^ +/gm, '')}`] as const,
    ...(await Promise.all(pages)),
  ]) {
    for (const [word, verb] of commandsIn(text)) {
      const verbs = commands.get(word)?.map((command) => command.name()) ?? []
      const isKnown = verbs.length === 0 || verb === '' || NOUNS[word]?.byDefault !== undefined
      if (!(commands.has(word) && (isKnown || verbs.includes(verb))))
        unknown.push(`${path}: cay ${word} ${verb}`)
    }
  }
  expect(unknown).toEqual([])
})

test('docs/commands.md names every command', () => {
  const program = openProgram([], () => undefined)
  const names = program.commands.map((command) => command.name()).filter((name) => name !== 'help')
  expect(names.length).toBeGreaterThan(30)
  expect(names.filter((name) => !page.includes(`\`cay ${name}\``))).toEqual([])
})

test('docs/commands.md and the help list the exit codes', async () => {
  const { output } = await runCay(['help'])
  for (const [code, meaning] of Object.entries(EXIT_CODES)) {
    expect(output).toContain(`  ${code}  ${meaning}\n`)
    expect(page.split('\n')).toContain(`| ${code} | ${meaning} |`)
  }
})

test('each verb has help, and each destructive verb has --yes', async () => {
  const verbs = Object.entries(NOUNS).flatMap(([noun, { verbs }]) =>
    Object.entries(verbs).map(([verb, one]) => ({ words: [noun, verb], one })),
  )
  await Promise.all(
    verbs.map(async ({ words, one }) => {
      const { code, output } = await runCay([...words, '--help'])
      expect([words, code]).toEqual([words, 0])
      expect(output.replaceAll(/\s+/g, ' ')).toContain(one.summary)
      expect([words, output.includes('--yes')]).toEqual([words, one.isDestructive === true])
    }),
  )
}, 60_000)

/** Yields the first two words of each command in a page's code: an empty second one if it is no plain word. */
function* commandsIn(page: string): Generator<[word: string, verb: string]> {
  // Every second part is a block of code.
  for (const [at, part] of page.split('```').entries()) {
    const found = part.matchAll(at % 2 === 1 ? /^(?:\$ |sudo )?cay +(.*)/gm : /`cay\s+([^`]*)/g)
    for (const [, line = ''] of found) {
      const [word = '', verb = ''] = line.split(/\s+/)
      if (/^[a-z]/.test(word)) yield [word, /^[a-z]+$/.test(verb) ? verb : '']
    }
  }
}

describe('on a running server', () => {
  let server: TestServer
  beforeAll(async () => {
    const started = await startWithAccounts({}, startExecutable)
    for (const name of ['alice', 'albert', 'bob']) await started.addUser(name)
    await started.admin('PUT', '/robots/alice%2Bci')
    await started.admin('POST', '/accounts/alice/tokens', { name: 'x' })
    await started.admin('PUT', '/groups/team')
    server = started
  }, 60_000)
  afterAll(() => server.stop())

  const cay = (line: string, input?: string) => runCay([...line.split(' '), '--data', server.data], {}, input)

  test.each([
    ['user delete bob', 'permanently deletes the user bob, 0 tokens'],
    ['robot delete alice+ci', 'permanently deletes the robot alice+ci, 0 tokens'],
    ['group delete team', 'permanently deletes the group team (0 members)'],
    ['grant delete alice **', 'deletes the grant of alice on **'],
    ['token delete alice x', 'permanently revokes the token x of alice'],
  ])('%s: without a terminal and --yes it says what it would do, and does nothing', async (line, what) => {
    const { code, output, errors } = await cay(line, 'y\n')
    expect([code, output]).toEqual([2, ''])
    expect(errors).toStartWith(`cay: this ${what}`)
    expect(errors).toEndWith('; pass --yes to confirm\n')
  })

  test('a user is shown with its groups and grants, and a repository with those who have a role', async () => {
    for (const line of [
      'group join team bob',
      'grant create group:team team/** writer',
      'grant create bob a/b reader',
    ])
      expect((await cay(line)).code).toBe(0)
    const shown = (await cay('user show bob')).output
    expect(shown).toMatch(/^Groups: +team$/m)
    expect(shown).toMatch(
      /^Grants\nSUBJECT +PATTERN +ROLE\ngroup:team +team\/\*\* +writer\nbob +a\/b +reader\n$/m,
    )
    const { output } = await cay('access team/app')
    expect(output).toMatch(
      /^Who has a role\nSUBJECT +ROLE +WHY\nadmin +admin +server admin\ngroup:team +writer +grant on team\/\*\*\n$/m,
    )
    expect((await cay('access alice/app')).output).toMatch(/^alice +admin +own namespace$/m)
    expect((await cay('grant create alice+ci c/** writer')).code).toBe(0)
    expect((await cay('access c/d')).output).toMatch(
      /^alice\+ci +writer +grant on c\/\*\*, but its owner alice can do nothing there$/m,
    )
  })

  test('a grant to a robot that exceeds what its owner can do is created with a warning', async () => {
    const { code, errors } = await cay('grant create alice+ci team/** writer')
    expect([code, errors]).toEqual([
      0,
      'cay: warning: alice+ci cannot pull or push there, because a robot can never do more than its owner, and alice cannot\n',
    ])
    expect((await cay('grant create alice+ci alice/** writer')).errors).toBe('')
  })

  test('not found: exit code 3', async () => {
    for (const line of ['user show nobody', 'user delete nobody --yes', 'group show nobody']) {
      const { code, output, errors } = await cay(line)
      expect([line, code, output]).toEqual([line, 3, ''])
      expect(errors).toMatch(/^cay: there is no .* nobody\n$/)
    }
  })

  test('--limit shortens a list, and --cursor continues it', async () => {
    const { items, nextCursor } = JSON.parse((await cay('user list --json --limit 2')).output)
    expect(items.map(({ name }: { name: string }) => name)).toEqual(['admin', 'albert'])
    const rest = JSON.parse((await cay(`user list --json --cursor ${nextCursor ?? 'albert'}`)).output)
    expect(rest.items.map(({ name }: { name: string }) => name)).toEqual(['alice', 'bob'])
    expect((await cay('user list --limit 1')).output.trim().split('\n')).toHaveLength(2)
  })

  test('TAB completes names from the running server', async () => {
    const completions = async (...words: string[]) => {
      const { code, output, errors } = await runCay(['complete', '--', ...words], { CAY_DATA: server.data })
      expect([code, errors]).toEqual([0, ''])
      return output
        .trim()
        .split('\n')
        .slice(0, -1)
        .map((line) => line.split('\t')[0])
    }
    /** Retries, because a completion leaves out names that arrive too late. */
    const complete = async (...words: string[]) => {
      let found: (string | undefined)[] = []
      await until(async () => {
        found = await completions(...words)
        return found.length > 0
      })
      return found
    }
    expect(await complete('user', 'show', 'al')).toEqual(['albert', 'alice'])
    expect(await complete('robot', 'disable', '')).toEqual(['alice+ci'])
    expect(await complete('group', 'join', 'team', 'bob', 'ali')).toEqual(['alice', 'alice+ci'])
    expect(await complete('grant', 'create', 'gr')).toEqual(['group:team'])
    expect(await complete('grant', 'create', 'alice', '**', '')).toEqual(['reader', 'writer', 'admin'])
    expect(await completions('user', 'list', '--data', '/nonexistent', '')).toEqual([])
    expect(await complete('user', 'del')).toEqual(['delete'])
  })

  test('TAB prints no error for an invalid command line', async () => {
    const words = ['tag', 'list', '--sort', 'bogus', '']
    expect(await runCay(['complete', '--', ...words], { CAY_DATA: server.data })).toEqual({
      code: 0,
      output: ':4\n',
      errors: '',
    })
  })

  test('TAB prints no error if no server answers', async () => {
    for (const env of [
      { CAY_DATA: '/nonexistent' },
      { CAY_SERVER: 'http://127.0.0.1:9' },
      { CAY_SERVER: 'x' },
    ]) {
      const { code, output, errors } = await runCay(['complete', '--', 'user', 'show', ''], env)
      expect([code, output, errors]).toEqual([0, ':4\n', ''])
    }
  })
})

test.skipIf(Bun.which('script') === null)(
  'on a terminal a destructive verb asks, and does nothing if the answer is no',
  async () => {
    await using server = await startWithAccounts({}, startExecutable)
    await server.addUser('bob')
    const { cay, data } = { cay: await build(), data: server.data }
    const ask = async (answer: string) => {
      const command = `${cay} user delete bob --data ${data}`
      const child = Bun.spawn(['script', '--quiet', '--return', '--command', command, '/dev/null'], {
        stdin: new Blob([answer]),
        stdout: 'pipe',
      })
      return { shown: await child.stdout.text(), code: await child.exited }
    }
    const no = await ask('n\n')
    expect([no.code, no.shown]).toEqual([1, expect.stringContaining('nothing was changed')])
    expect(no.shown).toContain('This permanently deletes the user bob, 0 tokens')
    const yes = await ask('y\n')
    expect([yes.code, yes.shown]).toEqual([0, expect.stringContaining('deleted user bob')])
    expect(await server.admin('GET', '/users')).toMatchObject({ items: [{ name: 'admin' }] })
  },
)
