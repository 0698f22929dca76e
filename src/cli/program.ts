import type { RootCommand } from '@bomb.sh/tab'
import tab from '@bomb.sh/tab/commander'
import { Command } from 'commander'
import { ConfigError } from '../config/config-error.ts'
import { commit, version } from '../config/version.ts'
import { addBackupCommands } from './backup-commands.ts'
import { bashCompletion } from './bash-completion.ts'
import { addNouns } from './commands.ts'
import { CommandError, EXIT, EXIT_CODES } from './failure.ts'
import { addHostCommands, addSignInCommands } from './host-commands.ts'
import { FIRST_STEPS, HELP } from './output/help.ts'
import { sanitize } from './output/terminal.ts'
import { load } from './settings.ts'
import { addTransferCommands } from './transfer-commands.ts'

/** Runs the command that the arguments name, and returns the exit code. */
export async function runProgram(argv: string[]): Promise<number> {
  let code = 0
  const program = openProgram(argv, (given) => {
    code = given
  })
  const completions = tab(program)
  const words = completionWords(argv)
  if (argv[2] === 'complete' && argv[3] === 'bash') {
    process.stdout.write(bashCompletion())
    return EXIT.done
  }
  try {
    if (words !== undefined) await completeNames(completions, program, words)
    await program.parseAsync(argv)
  } catch (error) {
    return failed(error)
  }
  return code
}

/** Returns all commands; nouns of the admin API have their verbs only if they are among the words. */
export function openProgram(words: readonly string[], exit: (code: number) => void): Command {
  const program = new Command('cay')
    .description('A private OCI registry and image cache in one executable')
    .version(`cay ${version} (${commit})`, '--version')
    .showHelpAfterError('(run cay help for a list of commands)')
    .configureHelp(HELP)
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, 'cay: ')) })
    .exitOverride()
  addHostCommands(program.commandsGroup('This host:'), exit)
  addBackupCommands(program.commandsGroup('Data folder:'), load, exit)
  addTransferCommands(program.commandsGroup('Copy images:'), load, withServer, exit)
  addSignInCommands(program.commandsGroup('Remote servers:'))
  addNouns(program.commandsGroup('Management:'), words, load, withServer)
  return program.commandsGroup('Other:').addHelpText('after', `\n${FIRST_STEPS}\nExit codes:\n${exitCodes()}`)
}

/** Adds names from a server to the completions. The client is loaded only if an argument can be a name. */
async function completeNames(completions: RootCommand, program: Command, words: string[]): Promise<void> {
  if (words.length < 3) return
  const { addNames } = await import('./input/names.ts')
  await addNames(completions, program, words, load)
}

/** Prints a failure in one line, unless the parser of the command line has already done so. Returns the exit code. */
function failed(error: unknown): number {
  if (error instanceof Error && 'exitCode' in error) return error.exitCode === 0 ? EXIT.done : EXIT.usage
  // The reader of the output, such as head, has closed the pipe.
  if ((error as NodeJS.ErrnoException).code === 'EPIPE') return EXIT.done
  process.stderr.write(`cay: ${sanitize((error as Error).message)}\n`)
  if (error instanceof CommandError) return error.exit
  return error instanceof ConfigError ? EXIT.usage : EXIT.failed
}

/** Returns the words to complete, the last of which is incomplete; undefined for any other command. */
function completionWords(argv: readonly string[]): string[] | undefined {
  return argv[2] === 'complete' && argv[3] === '--' ? argv.slice(4) : undefined
}

function exitCodes(): string {
  return Object.entries(EXIT_CODES)
    .map(([code, meaning]) => `  ${code}  ${meaning}\n`)
    .join('')
}

/** Adds the options that choose the server. */
function withServer(command: Command): Command {
  return command
    .option('--config <file>', 'the configuration file')
    .option('--data <folder>', 'the data folder')
    .option('--metadata <folder>', 'the folder of the database')
    .option('--server <url>', 'a remote server, https://HOST:PORT (CAY_SERVER)')
    .option(
      '--token <token>',
      'the token for the remote server; other users of this host can see it, so prefer CAY_TOKEN or CAY_TOKEN_FILE',
    )
    .option('--ca <file>', 'trust the authorities in this PEM file instead of those of the system')
}
