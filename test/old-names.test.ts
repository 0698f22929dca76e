import { expect, test } from 'bun:test'
import type { Command } from 'commander'
import { NOUNS, openProgram } from '../src/app/commands.ts'
import { SETTINGS } from '../src/config/settings.ts'

/** Names that the first versions had, and that nothing public may have again. */
const FIELDS = [
  'isCut',
  'isHere',
  'kept',
  'goesAt',
  'because',
  'last',
  'next',
  'why',
  'act',
  'fills',
  'collector',
  'credential',
  'ownBytes',
  'beganAt',
  'endsAt',
  'othersEndAt',
  'health',
  'percent',
  'canList',
  'immutable',
  'immutablePatterns',
]

/** Booleans are adjectives, such as `disabled`, or name what is there, such as `catalogAccess`. */
const BOOLEAN_PREFIX = /^(is|has|can|may|should|was|will)[A-Z]/

const IDENTIFIERS =
  /^([Aa]sker|present|shown|[Hh]armless|[Pp]atience|[Dd]oom|[Rr]eviv|[Tt]rail|[Mm]oment)|^(Present|Content|place|alone|tell|acts)$|(Alone|Moment|Trail|Doom|Patience)|Place(Options|Sources)$/

/** Words of commands, options and settings. */
const WORDS =
  /^(last|collect|collector|doom|asker|trail|kept|because|patience|revive|revival|moment|place|alone|acts|goes|present|shown)$/

test('names: no field or parameter of the API has an old name', async () => {
  const document = await Bun.file('docs/openapi.json').json()
  expect(JSON.stringify(document)).not.toMatch(/"done":\{[^}]*"boolean"/)
  const found = [...fieldsOf(document.paths)].filter(
    (name) => FIELDS.includes(name) || BOOLEAN_PREFIX.test(name),
  )
  expect(found).toEqual([])
})

test('names: an operation id is camelCase, and names what the operation does', async () => {
  const { paths }: { paths: Record<string, Record<string, { operationId?: string }>> } =
    await Bun.file('docs/openapi.json').json()
  const ids = Object.values(paths).flatMap((item) =>
    Object.values(item).flatMap((one) => one.operationId ?? []),
  )
  expect(ids.length).toBeGreaterThan(100)
  expect(ids.filter((id) => !/^(v[12])?[A-Za-z]+$/.test(id))).toEqual([])
})

test('names: no command, alias, argument or option has an old name', () => {
  const program = openProgram(Object.keys(NOUNS), () => {})
  const words = commandsOf(program).flatMap((command) => [
    command.name(),
    ...command.aliases(),
    ...command.registeredArguments.flatMap((argument) => wordsOf(argument.name())),
    ...command.options.flatMap(({ flags }) => wordsOf(flags)),
  ])
  expect(words.length).toBeGreaterThan(500)
  expect(words).toEqual(expect.arrayContaining(['serve', 'backup', 'audit', 'ls', 'rm', 'yes']))
  expect(words.filter((word) => WORDS.test(word))).toEqual([])
})

test('names: no setting has an old name', () => {
  const words = SETTINGS.flatMap(({ path }) => path.split(/[.-]/))
  expect(words.length).toBeGreaterThan(50)
  expect(words.filter((word) => WORDS.test(word))).toEqual([])
})

const EXPORT = /^export (?:abstract )?(?:async )?(?:function|const|class|interface|type) (\w+)/gm

test('names: no exported identifier has an old name', async () => {
  const found: string[] = []
  for await (const path of new Bun.Glob('src/**/*.{ts,tsx}').scan()) {
    const text = await Bun.file(path).text()
    const names = [...text.matchAll(EXPORT)].map(([, name = '']) => name)
    found.push(...names.filter((name) => IDENTIFIERS.test(name)).map((name) => `${path}: ${name}`))
    // These parse, and return undefined for an invalid text.
    found.push(...(text.match(/function find\w*\(text: string/g) ?? []))
  }
  expect(found).toEqual([])
})

/** Returns a command and all below it. */
function commandsOf(command: Command): Command[] {
  return [command, ...command.commands.flatMap(commandsOf)]
}

function wordsOf(text: string): string[] {
  return text.match(/\w+/g) ?? []
}

/** Yields the names of the properties and parameters in a part of the document of `/api/v1`. */
function* fieldsOf(paths: Record<string, unknown>): Generator<string> {
  for (const [path, item] of Object.entries(paths)) {
    if (path.startsWith('/api/v1/')) yield* namesIn(item)
  }
}

function* namesIn(part: unknown): Generator<string> {
  if (Array.isArray(part)) for (const one of part) yield* namesIn(one)
  if (typeof part !== 'object' || part === null || Array.isArray(part)) return
  const { name, properties, in: place, ...rest } = part as Record<string, unknown>
  if (place !== undefined) yield String(name)
  yield* Object.keys((properties as object | undefined) ?? {})
  yield* namesIn(Object.values((properties as object | undefined) ?? {}))
  const { example: _, examples: __, ...schemas } = rest
  yield* namesIn(Object.values(schemas))
}
