import { kebab } from '../../../config/settings.ts'
import { parseBytes, parseDuration } from '../../../config/units.ts'
import { CommandError, EXIT } from '../../failure.ts'
import { readPasswords } from '../../input/password-input.ts'
import { type Field, field, formatBytes, formatText } from '../../output/format.ts'
import type { Option } from '../../verb.ts'

const ANSWERS = ['yes', 'no']

/** The options of `cay upstream create` and `set`. Lists are separated by commas. */
export const SETTING_OPTIONS: readonly Option[] = [
  ['--url <url>', 'the URL of its registry [https:// and the name]'],
  ['--hosts <names>', 'more names that containerd can use for it'],
  ['--mirrors <urls>', 'URLs to try next, in order'],
  ['--redirects <hosts>', 'hosts that it can redirect to, also if their address is private'],
  ['--proxy <url>', 'a proxy, or none'],
  ['--username <name>', 'the account for pulls; asks for the password, or reads it from standard input'],
  ['--upstream-ca <file>', 'trust the authorities in this PEM file for it, besides those of the system'],
  ['--repositories <patterns>', 'the repositories that can be pulled [all]'],
  ['--private <answer>', 'whether its blobs are never served in repositories of other upstreams', ANSWERS],
  ['--connections <number>', 'the most blobs that are fetched at the same time'],
  ['--bytes-per-second <bytes>', 'the total rate of fetching blobs, such as 10MiB; 0: no limit'],
  [
    '--fresh-seconds <seconds>',
    'how long a checked tag is served without another check: seconds, or such as 10m',
  ],
  ['--gone <answer>', 'keep or drop a cached tag that it no longer has', ['keep', 'drop']],
  ['--refused <answer>', 'serve or refuse a cached tag that it refuses', ['serve', 'refuse']],
  ['--offline <answer>', 'whether to serve only cached content', ANSWERS],
]

/** The settings as `cay upstream show` prints them. */
export const SETTING_FIELDS: readonly Field[] = [
  field('Hosts', 'settings.hosts'),
  field('Redirects', 'settings.redirects'),
  field('Proxy', 'settings.proxy'),
  field('Username', 'settings.username'),
  field('Authorities', 'settings.ca', () => 'set'),
  field('Repositories', 'settings.repositories', (value) => formatText(value) || 'all'),
  field('Private', 'settings.private', 'yes'),
  field('Connections', 'settings.connections', 'count'),
  field('Rate limit', 'settings.bytesPerSecond', (value) =>
    value === 0 ? 'none' : `${formatBytes(value)} per second`,
  ),
  field('Fresh for', 'settings.freshSeconds', 'duration'),
  field('Tags it deleted', 'settings.gone', (value) => (value === 'drop' ? 'dropped' : 'kept')),
  field('Tags it refuses', 'settings.refused', (value) => (value === 'refuse' ? 'refused' : 'served')),
  field('Offline', 'settings.offline', 'yes'),
]

/** The options that say where a secret is read from; a command line is seen by other users of the host. */
export const SECRET_OPTIONS: readonly Option[] = [
  ['--password-file <file>', 'read the password from this file'],
  ['--token-file <file>', 'read a Bearer token from this file, instead of a username and password'],
]

const TEXTS = ['url', 'proxy', 'username', 'gone', 'refused']
const LISTS = ['hosts', 'mirrors', 'redirects', 'repositories']
const ANSWERED = ['private', 'offline']
const NUMBERS: Readonly<Record<string, (text: string) => number | undefined>> = {
  connections: Number,
  bytesPerSecond: parseBytes,
  freshSeconds: parseSeconds,
}

type Options = Readonly<Record<string, string>>

/** Returns the settings that the options name, and reads the file of `--upstream-ca`. */
export async function settingsOf(options: Options): Promise<Record<string, unknown>> {
  const pick = (names: readonly string[], convert: (text: string) => unknown) =>
    names.flatMap((name) => (options[name] === undefined ? [] : [[name, convert(options[name])]]))
  const { upstreamCa } = options
  return {
    ...Object.fromEntries([
      ...pick(TEXTS, String),
      ...pick(LISTS, listOf),
      ...pick(ANSWERED, (text) => text === 'yes'),
      ...Object.entries(NUMBERS).flatMap(([name, parse]) =>
        pick([name], (text) => numberOf(name, text, parse)),
      ),
    ]),
    ...(upstreamCa !== undefined && { ca: await Bun.file(upstreamCa).text() }),
  }
}

/** Reads the secret of an upstream: from the file that is named, or the password for `--username`. */
export async function readSecrets(
  name: string,
  { username, passwordFile, tokenFile }: Options,
): Promise<{ password?: string; token?: string }> {
  if (tokenFile !== undefined) return { token: (await Bun.file(tokenFile).text()).trim() }
  if (passwordFile !== undefined) return { password: (await Bun.file(passwordFile).text()).trimEnd() }
  if (username === undefined) return {}
  const [password = ''] = await readPasswords(`Password of ${username} at ${name}`)
  if (password === '') throw new CommandError(`${name}: a username needs a password`, EXIT.usage)
  return { password }
}

function numberOf(name: string, text: string, parse: (text: string) => number | undefined): number {
  const number = parse(text)
  if (number !== undefined && Number.isSafeInteger(number) && number >= 0) return number
  throw new CommandError(
    `--${kebab(name)} is "${text}": expected a whole number, such as 60, 10m or 4MiB`,
    EXIT.usage,
  )
}

/** Parses seconds: a number, or a duration with units. */
function parseSeconds(text: string): number | undefined {
  if (/^\d{1,15}$/.test(text)) return Number(text)
  const milliseconds = parseDuration(text)
  return milliseconds === undefined ? undefined : milliseconds / 1000
}

function listOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
