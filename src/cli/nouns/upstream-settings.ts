import { CommandError, EXIT } from '../failure.ts'
import { readPasswords } from '../input/password-input.ts'
import type { Option } from '../verb.ts'

const ANSWERS = ['yes', 'no']

/** The options of `cay upstream add` and `set`. Lists are separated by commas. */
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
  ['--bytes-per-second <bytes>', 'the total rate of fetching blobs; 0: no limit'],
  ['--fresh-seconds <seconds>', 'how long a checked tag is served without another check'],
  ['--gone <answer>', 'keep or drop a cached tag that it no longer has', ['keep', 'drop']],
  ['--refused <answer>', 'serve or refuse a cached tag that it refuses', ['serve', 'refuse']],
  ['--offline <answer>', 'whether to serve only cached content', ANSWERS],
]

/** The options that say where a secret is read from; a command line is seen by other users of the host. */
export const SECRET_OPTIONS: readonly Option[] = [
  ['--password-file <file>', 'read the password from this file'],
  ['--token-file <file>', 'read a Bearer token from this file, instead of a username and password'],
]

const TEXTS = ['url', 'proxy', 'username', 'gone', 'refused']
const LISTS = ['hosts', 'mirrors', 'redirects', 'repositories']
const ANSWERED = ['private', 'offline']
const NUMBERS = ['connections', 'bytesPerSecond', 'freshSeconds']

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
      ...pick(NUMBERS, Number),
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

function listOf(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '')
}
