import tab from '@bomb.sh/tab/commander'
import { Command } from 'commander'
import { ConfigError, expectation, type LoadedConfig, loadConfig, SETTINGS } from '../config.ts'
import { commit, version } from '../version.ts'
import { addAccountCommands } from './accounts.ts'

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
  addAccountCommands(program, load, withPlace)
  tab(program)
  try {
    await program.parseAsync(argv)
  } catch (error) {
    return failed(error)
  }
  return code
}

/** A failure of the command line's own parser has been printed by it; anything else is said in one line. */
function failed(error: unknown): number {
  if (error instanceof Error && 'exitCode' in error) return error.exitCode === 0 ? 0 : 2
  process.stderr.write(`cay: ${(error as Error).message}\n`)
  return error instanceof ConfigError ? 2 : 1
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

/** The options of a command that works on a data folder: which one it is. */
function withPlace(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration file')
    .option('--data <folder>', 'the data folder')
    .option('--metadata <folder>', "the database's folder")
}

function load(options: Record<string, string>): Promise<LoadedConfig> {
  const flags: Record<string, string> = {}
  for (const { path, flag } of SETTINGS) {
    const value = options[flag.slice(2).replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())]
    if (value !== undefined) flags[path] = value
  }
  return loadConfig({ flags, file: options.config, environment: process.env })
}
