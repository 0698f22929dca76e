import type { Command, Option } from 'commander'
import { version } from '../../package.json'
import { NOUNS, openProgram } from '../../src/app/commands.ts'
import { EXIT_CODES } from '../../src/cli/failure.ts'
import { SETTINGS } from '../../src/config/settings.ts'

/** Options of many commands, which are described once. */
const shared = ['--config', '--server', '--token', '--ca', '--json', '--limit', '--last']

/**
 * Returns the page cay(1), made from the help of all commands. Settings are described once, not with each command.
 *
 * @param seconds its date, in seconds since 1970
 */
export function manPage(seconds: number): string {
  const program = openProgram(Object.keys(NOUNS), () => {})
  const date = new Date(seconds * 1000).toISOString().slice(0, 10)
  return [
    `.TH CAY 1 ${date} "cay ${version}" "User Commands"`,
    '.SH NAME',
    `cay \\- ${roff(program.description())}`,
    '.SH SYNOPSIS',
    '.B cay',
    '.I command\n[options]',
    '.SH DESCRIPTION',
    'cay serves images, charts and other OCI artifacts to registry clients, and caches those of other registries.\nCommands of nouns and verbs connect to the server of this host, or to that of --server.',
    '.SH COMMANDS',
    ...program.commands.flatMap((command) => describe(command, 'cay')),
    '.SH COMMON OPTIONS',
    'Commands of nouns and verbs accept the first ones, and those that print lists all of them.',
    ...commonOptions(program).flatMap(describeOption),
    '.SH SETTINGS',
    'Commands that read the configuration accept these options.\nEach can also be an environment variable, or a key of cay.toml in the data folder.',
    ...settings(program).flatMap(describeOption),
    '.SH EXIT STATUS',
    ...Object.entries(EXIT_CODES).flatMap(([code, meaning]) => item(code, meaning)),
    '.SH FILES',
    ...item('/var/lib/cay', 'The data folder of root and of the service.'),
    ...item('~/.local/share/cay', 'The data folder of other users.'),
    ...item('/etc/default/cay', 'CAY_* variables of the service.'),
    '',
  ].join('\n')
}

/** Describes a command with its own options, and the commands below it. */
function describe(command: Command, parent: string): string[] {
  const name = `${parent} ${command.name()}`
  const below = command.commands.flatMap((one) => describe(one, name))
  if (below.length > 0) return below
  const own = command.options.filter((option) => !isSetting(option) && !shared.includes(option.long ?? ''))
  const args = command.registeredArguments.map((one) =>
    one.required ? `<${one.name()}>` : `[${one.name()}]`,
  )
  return [
    '.TP',
    `.B ${roff([name, ...args].join(' '))}`,
    roff(`${command.description()}.`),
    '.RS',
    ...own.flatMap(describeOption),
    '.RE',
  ]
}

/** Returns the options of `cay serve`, which set the configuration. */
function settings(program: Command): readonly Option[] {
  return program.commands.find((command) => command.name() === 'serve')?.options.filter(isSetting) ?? []
}

function isSetting({ long }: Option): boolean {
  return SETTINGS.some(({ flag }) => flag === long)
}

/** Returns the shared options, from the first command that has each. */
function commonOptions(program: Command): Option[] {
  const all = program.commands.flatMap(({ commands }) => commands.flatMap(({ options }) => options))
  return shared.flatMap((name) => all.find(({ long }) => long === name) ?? [])
}

function describeOption({ flags, description }: Option): string[] {
  return item(flags, `${description.charAt(0).toUpperCase()}${description.slice(1)}.`)
}

function item(term: string, text: string): string[] {
  return ['.TP', `.B ${roff(term)}`, roff(text)]
}

/** Escapes what roff would interpret: backslashes, hyphens of options, and a dot or quote that begins a line. */
function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replace(/^([.'])/, '\\&$1')
}
