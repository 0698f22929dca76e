import type { Command } from 'commander'
import type { LoadedConfig } from '../config.ts'
import { openAdminClient } from './admin-client.ts'
import { renderAnswer } from './answer.ts'
import { AUDIT, NOUNS, type Verb } from './nouns.ts'

/** How the commands get at the configuration that their options name. */
type Load = (options: Record<string, string>) => Promise<LoadedConfig>

/** Adds `cay <noun> <verb>` for accounts, groups and grants, and `cay audit`. */
export function addAccountCommands(
  program: Command,
  load: Load,
  withPlace: (command: Command) => Command,
): void {
  for (const [noun, { summary, verbs }] of Object.entries(NOUNS)) {
    const parent = program.command(noun).description(summary)
    for (const [verb, one] of Object.entries(verbs)) addVerb(parent, verb, one, load, withPlace)
  }
  addVerb(program, 'audit', AUDIT, load, withPlace)
}

function addVerb(
  parent: Command,
  verb: string,
  one: Verb,
  load: Load,
  withPlace: (command: Command) => Command,
) {
  const command = withPlace(parent.command(`${verb} ${one.usage}`.trim()).description(one.summary))
  command.option('--json', 'print JSON')
  for (const [flags, description] of one.options ?? []) command.option(flags, description)
  command.action(async (...given: unknown[]) => {
    const args = given.slice(0, -2).flat() as string[]
    const options = Object.fromEntries(
      Object.entries(command.opts()).map(([key, value]) => [key, String(value)]),
    )
    const client = await openAdminClient((await load(options)).config)
    try {
      process.stdout.write(renderAnswer(await one.run(client, args, options), options.json === 'true'))
    } finally {
      await client.close()
    }
  })
}
