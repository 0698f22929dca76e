import type { Command } from 'commander'
import { CommandError, EXIT } from './failure.ts'
import { NOUNS } from './nouns.ts'
import type { LoadConfig } from './remote/connect.ts'
import type { Verb } from './verb.ts'

/** Other names of verbs. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  list: ['ls'],
  delete: ['rm', 'remove'],
  create: ['add'],
}

/** Adds `cay NOUN VERB` for each operation of the admin API. Adds verbs only to nouns that the command line names. */
export function addNouns(
  program: Command,
  words: readonly string[],
  load: LoadConfig,
  withServer: (command: Command) => Command,
): void {
  for (const [name, noun] of Object.entries(NOUNS)) {
    const parent = program.command(name).description(noun.summary)
    if (!words.includes(name)) continue
    for (const [verb, one] of Object.entries(noun.verbs)) {
      const isDefault = verb === noun.byDefault
      const command = parent.command(`${verb} ${one.usage ?? ''}`.trim(), { isDefault })
      command.aliases(ALIASES[verb] ?? [])
      if (one.shown !== undefined) command.usage(`[options] ${one.shown}`)
      addOptions(command.description(one.summary), one)
      withServer(command.optionsGroup('Server:'))
      command.action((...given: unknown[]) => runVerb(one, load, given, command.opts()))
    }
  }
}

function addOptions(command: Command, { options = [], isDestructive, isList }: Verb): void {
  command.option('--json', "print the API's JSON")
  if (isList) {
    command.option('--limit <number>', 'print at most this many entries [all]')
    command.option('--cursor <cursor>', 'start at this cursor: `nextCursor` of a page in JSON')
  }
  if (isDestructive) command.option('--yes', 'confirm without being asked')
  for (const [flags, description, choices] of options) {
    const option = command.createOption(flags, description)
    command.addOption(choices === undefined ? option : option.choices(choices))
  }
}

async function runVerb(verb: Verb, load: LoadConfig, given: unknown[], opts: Record<string, unknown>) {
  // An optional argument that is not given is undefined.
  const args = given
    .slice(0, -2)
    .flat()
    .filter((word) => word !== undefined) as string[]
  const options = Object.fromEntries(Object.entries(opts).map(([key, value]) => [key, String(value)]))
  const limit = options.limit === undefined ? undefined : parseLimit(options.limit)
  const [{ openClient }, { openTerminal }, { printAnswer }, { confirm }] = await Promise.all([
    import('./remote/connect.ts'),
    import('./output/terminal.ts'),
    import('./output/answer.ts'),
    import('./input/confirmation.ts'),
  ])
  const terminal = openTerminal(process.env)
  const warn = (message: string) => terminal.note(`cay: warning: ${message}`)
  const client = await openClient({ options, environment: process.env, load, warn })
  try {
    const asked = (what: string) => confirm(what, options.yes === 'true', terminal)
    const answer = await verb.run({ client, args, options, terminal, confirm: asked })
    const print = { asJson: options.json === 'true', limit, cursor: options.cursor }
    await printAnswer(answer, client, terminal, print)
  } finally {
    await client.close()
  }
}

function parseLimit(text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw new CommandError(`invalid --limit "${text}": expected a whole number from 1`, EXIT.usage)
}
