import type { RootCommand } from '@bomb.sh/tab'
import tab from '@bomb.sh/tab/commander'
import type { Command } from 'commander'
import { access, grants, groups, robots, users } from '../accounts/command.ts'
import { audit, signingKeys, tokens } from '../accounts/credential-command.ts'
import { addBackupCommands } from '../backup/command.ts'
import { cache, pins, upstreams } from '../cache/command.ts'
import type { LoadConfig } from '../cli/connection.ts'
import { CommandError, EXIT, EXIT_CODES } from '../cli/failure.ts'
import { FIRST_STEPS, newProgram } from '../cli/program.ts'
import { load as loadConfig, withSettings } from '../cli/settings.ts'
import type { Noun, Verb } from '../cli/verb.ts'
import { blobs, manifests } from '../content/manifest-command.ts'
import { repositories, search, storage, uploads } from '../content/repository-command.ts'
import { tags } from '../content/tag-command.ts'
import { files } from '../files/command.ts'
import { collector } from '../garbage/command.ts'
import { events } from '../history/command.ts'
import { damage } from '../integrity/command.ts'
import { jobs } from '../jobs/command.ts'
import { server } from '../operation/command.ts'
import { quotas } from '../quota/command.ts'
import { retention } from '../retention/command.ts'
import { addServiceCommands } from '../service/command.ts'
import { addTransferCommands } from '../transfer/command.ts'
import { bashCompletion } from './completion.ts'
import { addServeCommand } from './serve-command.ts'

/** Loads the configuration. Only a command without a running server loads the server itself. */
const load: LoadConfig = async (options) => {
  const loaded = await loadConfig(options)
  const open = async (canCreate: boolean) => {
    const { openEmbedded } = await import('./embedded.ts')
    return await openEmbedded(loaded.config, loaded.settingSources, canCreate)
  }
  return { ...loaded, open }
}

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
  const { addNames } = await import('./completion.ts')
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

/** Other names of verbs. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  list: ['ls'],
  delete: ['rm', 'remove'],
  create: ['add'],
}

/** Adds `cay NOUN VERB` for each operation of the admin API. Adds verbs only to nouns that the command line names. */
function addNouns(
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
    import('../cli/connection.ts'),
    import('../cli/output.ts'),
    import('../cli/answer.ts'),
    import('../cli/input.ts'),
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

/** The nouns with their verbs. Help and completions are made from this; docs/commands.md lists the same. */
export const NOUNS: Readonly<Record<string, Noun>> = {
  search,
  repo: repositories,
  tag: tags,
  manifest: manifests,
  blob: blobs,
  file: files,
  upload: uploads,
  damage,
  storage,
  cache,
  pin: pins,
  upstream: upstreams,
  retention,
  quota: quotas,
  gc: collector,
  job: jobs,
  server,
  user: users,
  robot: robots,
  token: tokens,
  group: groups,
  grant: grants,
  access,
  key: signingKeys,
  audit,
  event: events,
}

/** Adds the commands that serve, and that work on this host instead of calling the admin API. */
function addHostCommands(program: Command, exit: (code: number) => void): void {
  addServeCommand(program, exit)
  withSettings(program.command('config').description('Print the effective configuration')).action(
    async (options) => {
      const [{ printConfig }, { checkConfig }] = await Promise.all([
        import('../operation/host-command.ts'),
        import('../app.ts'),
      ])
      await printConfig(options, checkConfig)
    },
  )
  withSettings(program.command('health').description('Check whether the server on this host is ready'))
    .option('--url <url>', 'the address of the server [the first configured address]')
    .action(async (options) => {
      const { askHealth } = await import('../operation/host-command.ts')
      const { loadRunning } = await import('../operation/host-command.ts')
      exit(await askHealth((await loadRunning(options)).config, options.url))
    })
  withSettings(
    program.command('initial-password').description('Print the generated password of the first account'),
  ).action(async (options) => {
    const { printInitialPassword } = await import('../accounts/login.ts')
    printInitialPassword((await load(options)).config)
  })
  withSettings(
    program
      .command('trust')
      .description('Trust the certificate authority of --tls auto on this host, or show how other hosts do'),
  )
    .option(
      '--install',
      'install the authority, instead of printing what this would do and the commands for other hosts',
    )
    .option('--uninstall', 'uninstall the authority')
    .option('--registry <names>', 'HOST:PORT as clients write it, with commas between')
    .option('--root <folder>', 'write below this folder instead of /, and run no commands')
    .action(async (options) => {
      const { trust } = await import('../tls/trust.ts')
      const { loadRunning } = await import('../operation/host-command.ts')
      exit(await trust((await loadRunning(options)).config, options))
    })
  withSettings(
    program
      .command('client-setup <client>')
      .description(
        'Print the settings with which docker, containerd, podman, k3s or buildkit uses the cache',
      ),
  )
    .option('--registry <name>', 'HOST:PORT as the client reaches this server')
    .action(async (client, options) => {
      const { clientSetup } = await import('../cache/client-setup.ts')
      const { loadWithUpstreams } = await import('../operation/host-command.ts')
      clientSetup(client, (await loadWithUpstreams(options)).config, options)
    })
  addServiceCommands(program, exit)
  program
    .command('licenses')
    .description('Print the licences of cay and of everything in the executable')
    .action(async () => {
      const { printLicenses } = await import('../operation/host-command.ts')
      await printLicenses()
    })
}

/** Adds `cay login` and `cay logout`. */
function addSignInCommands(program: Command): void {
  program
    .command('login <url>')
    .description('Sign in at a remote server, and store a token for other commands')
    .option(
      '-u, --username <name>',
      'the user; without a terminal, the password is read from standard input, and without this option a token',
    )
    .option('--ca <file>', 'trust the authorities in this PEM file instead of those of the system')
    .action(async (url, options) => {
      const { login } = await import('../accounts/login.ts')
      await login(url, options)
    })
  program
    .command('logout [url]')
    .description('Sign out of a remote server [the current one], and revoke the token of cay login')
    .action(async (url) => {
      const { logout } = await import('../accounts/login.ts')
      await logout(url)
    })
}
