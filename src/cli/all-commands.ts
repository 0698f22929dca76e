import type { RootCommand } from '@bomb.sh/tab'
import tab from '@bomb.sh/tab/commander'
import type { Command } from 'commander'
import { newProgram } from './base-program.ts'
import { bashCompletion } from './bash-completion.ts'
import { addNouns } from './commands.ts'
import { EXIT_CODES } from './failure.ts'
import { addBackupCommands } from './host/backup-commands.ts'
import { addHostCommands, addSignInCommands } from './host/host-commands.ts'
import { addTransferCommands } from './host/transfer-commands.ts'
import { FIRST_STEPS } from './output/help.ts'
import { load } from './settings.ts'

/** Runs the command that the arguments name, or prints the completions that they ask for. */
export async function runCommand(argv: string[], exit: (code: number) => void): Promise<void> {
  const program = openProgram(argv, exit)
  const completions = tab(program)
  if (argv[2] === 'complete' && argv[3] === 'bash') {
    process.stdout.write(bashCompletion())
    return
  }
  const words = completionWords(argv)
  if (words !== undefined) await completeNames(completions, program, words)
  await program.parseAsync(argv)
}

/** Returns all commands; nouns of the admin API have their verbs only if they are among the words. */
export function openProgram(words: readonly string[], exit: (code: number) => void): Command {
  const program = newProgram()
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
