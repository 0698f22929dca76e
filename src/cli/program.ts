import type { RootCommand } from '@bomb.sh/tab'
import tab from '@bomb.sh/tab/commander'
import { Command } from 'commander'
import { ConfigError, expectation, type LoadedConfig, loadConfig, SETTINGS } from '../config/config.ts'
import { commit, version } from '../config/version.ts'
import { addNouns } from './commands.ts'
import { CommandError, EXIT, EXIT_CODES } from './failure.ts'
import { harmless } from './output/terminal.ts'

/** The whole command line. Runs the command that the arguments name; answers the process's exit code. */
export async function runProgram(argv: string[]): Promise<number> {
  let code = 0
  const program = new Command('cay')
    .description('A private OCI registry and image cache in one executable')
    .version(`cay ${version} (${commit})`, '--version')
    .showHelpAfterError('(cay help lists the commands)')
    .exitOverride()
  withSettings(program.command('serve').description('Serve the registry')).action(async (options) => {
    const { serve } = await import('./serve.ts')
    code = await serve(await load(options))
  })
  withSettings(program.command('config').description('Print the effective configuration')).action(
    async (options) => {
      const { printConfig } = await import('./config.ts')
      printConfig(await load(options))
    },
  )
  withSettings(program.command('health').description('Ask the server on this host whether it can serve'))
    .option('--url <url>', 'the server to ask, instead of the first configured address')
    .action(async (options) => {
      const { askHealth } = await import('./health.ts')
      code = await askHealth((await load(options)).config, options.url)
    })
  withSettings(program.command('trust').description('Make this host trust the authority of --tls auto'))
    .option('--install', 'do it, instead of printing what would be done and the lines for other hosts')
    .option('--uninstall', 'undo it')
    .option('--registry <names>', 'HOST:PORT as clients write it, with commas between')
    .option('--root <folder>', 'write below another root folder, and run no command')
    .action(async (options) => {
      const { trust } = await import('./trust.ts')
      code = await trust((await load(options)).config, options)
    })
  withSettings(
    program
      .command('client-setup <client>')
      .description('Print how docker, containerd, podman, k3s or buildkit pulls through the cache'),
  )
    .option('--registry <name>', 'HOST:PORT as the client reaches this server')
    .action(async (client, options) => {
      const { clientSetup } = await import('./client-setup.ts')
      clientSetup(client, (await load(options)).config, options)
    })
  addNouns(program, argv, load, withPlace)
  program.addHelpText('after', `\nExit codes:\n${exitCodes()}`)
  const completions = tab(program)
  const words = completionWords(argv)
  try {
    if (words !== undefined) await completeNames(completions, program, words)
    await program.parseAsync(argv)
  } catch (error) {
    return failed(error)
  }
  return code
}

/** Names come from a server, so what asks for them is loaded only where an argument may be one. */
async function completeNames(completions: RootCommand, program: Command, words: string[]): Promise<void> {
  if (words.length < 3) return
  const { addNames } = await import('./input/names.ts')
  await addNames(completions, program, words, load)
}

/** A failure of the command line's own parser has been printed by it; anything else is said in one line. */
function failed(error: unknown): number {
  if (error instanceof Error && 'exitCode' in error) return error.exitCode === 0 ? EXIT.done : EXIT.usage
  // Whoever reads the output has enough of it, like head.
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') return EXIT.done
  process.stderr.write(`cay: ${harmless((error as Error).message)}\n`)
  if (error instanceof CommandError) return error.exit
  return error instanceof ConfigError ? EXIT.usage : EXIT.failed
}

/** The words of a request for completions, of which the last one is being written; undefined for any other command. */
function completionWords(argv: readonly string[]): string[] | undefined {
  return argv[2] === 'complete' && argv[3] === '--' ? argv.slice(4) : undefined
}

function exitCodes(): string {
  return Object.entries(EXIT_CODES)
    .map(([code, meaning]) => `  ${code}  ${meaning}\n`)
    .join('')
}

function withSettings(command: Command): Command {
  command.option('--config <file>', 'the configuration file (default: cay.toml in the data folder)')
  for (const { flag, schema, variable } of SETTINGS) {
    const value = String(schema.default ?? '')
    const byDefault = value === '' ? '' : `, default ${value}`
    command.option(
      `${flag} <value>`,
      `${schema.description} (${expectation(schema)}${byDefault}; ${variable})`,
    )
  }
  return command
}

/** The options of a command of the admin API: whom it asks. */
function withPlace(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration file')
    .option('--data <folder>', 'the data folder')
    .option('--metadata <folder>', "the database's folder")
    .option(
      '--server <url>',
      'a server elsewhere, https://HOST:PORT, instead of the data folder (CAY_SERVER)',
    )
    .option(
      '--token <token>',
      'the token to sign in with there; others on this host can see it: better CAY_TOKEN, or CAY_TOKEN_FILE with a path',
    )
    .option('--ca <file>', "the authority of its certificate (PEM), instead of the system's")
}

function load(options: Record<string, string>): Promise<LoadedConfig> {
  const flags: Record<string, string> = {}
  for (const { path, flag } of SETTINGS) {
    const value = options[flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())]
    if (value !== undefined) flags[path] = value
  }
  return loadConfig({ flags, file: options.config, environment: process.env })
}
