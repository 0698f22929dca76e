import { apiPath, withQuery } from '../cli/client.ts'
import { CommandError, usageError } from '../cli/failure.ts'
import { formatReference, parseReferences, readPasswords, resolve } from '../cli/input.ts'
import {
  columns,
  type Format,
  formatBytes,
  formatRelativeTime,
  formatText,
  formatTime,
  lines,
  sanitize,
} from '../cli/output.ts'
import {
  card,
  change,
  create,
  deletes,
  lists,
  type Noun,
  type Option,
  readToDestroy,
  shows,
} from '../cli/verb.ts'
import { kebab } from '../config/settings.ts'
import { parseBytes, parseDuration } from '../config/values.ts'
import type { AnswerOf } from '../http/operation.ts'
import type { CacheRoutes } from './models.ts'

/** One reference: `app:1.0`, `app@sha256:...`, or the repository and the reference as two words. */
const ONE_REFERENCE = { usage: '<repository> [reference]', shown: 'REFERENCE' }

/** `cay cache` */
export const cache: Noun = {
  summary: 'Manage content that is cached from upstreams',
  byDefault: 'show',
  verbs: {
    show: shows(
      undefined,
      'Show how much is cached',
      () => '/cache',
      lines(
        `Size: bytes, Limit: bytesMax, Size of manifests: manifestBytes, Size of interrupted downloads: partialBytes,
        Blobs: blobCount, Manifests: manifestCount, Downloads: downloadCount, Requests since the start: requestCount,
        Hits: hitCount, Served without a download: hitBytes, Downloaded: downloadedBytes`,
      ),
    ),
    list: lists(
      'List cached tags, and when each was last checked with its upstream',
      '/cache/tags',
      'Nothing is cached.',
      columns('repository, tag, checkedAt, fresh | yes, digest | short digest'),
    ),
    downloads: lists(
      'List blobs that are being downloaded',
      '/cache/downloads',
      'There are no downloads.',
      columns('repository, received: receivedBytes, size: bytes, digest | short digest'),
    ),
    refresh: {
      usage: '<repository> [tag]',
      shown: 'REPOSITORY:TAG',
      summary: 'Check a cached tag with its upstream now',
      run: async ({ client, args }) => {
        const { repository, reference: tag } = parseReferences(args)[0]
        return {
          value: await client.request('POST', '/cache/refresh', { repository, tag }),
          lines: lines('digest'),
        }
      },
    },
    evict: {
      ...ONE_REFERENCE,
      summary: 'Remove a manifest with its tags, or a tag, from the cache; the next pull fetches it again',
      isDestructive: true,
      run: async ({ client, args, confirm }) => {
        const named = await resolve(client, parseReferences(args)[0])
        const shown = formatReference(named)
        await confirm(`removes ${shown} from the cache`)
        return change(client, `removed ${shown} from the cache`, 'POST', '/cache/evict', named)
      },
    },
    explain: {
      ...ONE_REFERENCE,
      summary: 'Explain why a tag or manifest is cached, stale or absent',
      run: async ({ client, args }) =>
        card(
          client,
          withQuery('/cache/explain', { ...(await resolve(client, parseReferences(args)[0])) }),
          lines('state, Why: explanation'),
        ),
    },
  },
}

/** `cay pin` */
export const pins: Noun = {
  summary: 'Manage pins, which protect cached content from eviction',
  verbs: {
    list: lists('List pins', '/pins', 'There are no pins.', columns('pattern, reference, createdAt')),
    create: {
      usage: '<pattern> [reference]',
      summary: 'Pin a tag, a digest, or everything in the repositories that match a pattern',
      run: ({ client, args: [pattern = '', reference] }) =>
        change(client, `pinned ${what(pattern, reference)}`, 'PUT', '/pins', { pattern, reference }),
    },
    delete: {
      usage: '<pattern> [reference]',
      summary: 'Delete a pin',
      run: ({ client, args: [pattern = '', reference] }) =>
        change(
          client,
          `deleted the pin of ${what(pattern, reference)}`,
          'DELETE',
          withQuery('/pins', { pattern, reference }),
        ),
    },
  },
}

function what(pattern: string, reference: string | undefined): string {
  return reference === undefined
    ? `everything in ${pattern}`
    : formatReference({ repository: pattern, reference })
}

const ANSWERS = ['yes', 'no']

/** The options of `cay upstream create` and `set`. Lists are separated by commas. */
const SETTING_OPTIONS: readonly Option[] = [
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

/** The options that say where a secret is read from; a command line is seen by other users of the host. */
const SECRET_OPTIONS: readonly Option[] = [
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
async function settingsOf(options: Options): Promise<Record<string, unknown>> {
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
async function readSecrets(
  name: string,
  { username, passwordFile, tokenFile }: Options,
): Promise<{ password?: string; token?: string }> {
  if (tokenFile !== undefined) return { token: (await Bun.file(tokenFile).text()).trim() }
  if (passwordFile !== undefined) return { password: (await Bun.file(passwordFile).text()).trimEnd() }
  if (username === undefined) return {}
  const [password = ''] = await readPasswords(`Password of ${username} at ${name}`)
  if (password === '') throw usageError(`${name}: a username needs a password`)
  return { password }
}

function numberOf(name: string, text: string, parse: (text: string) => number | undefined): number {
  const number = parse(text)
  if (number !== undefined && Number.isSafeInteger(number) && number >= 0) return number
  throw usageError(`--${kebab(name)} is "${text}": expected a whole number, such as 60, 10m or 4MiB`)
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

type Upstream = AnswerOf<CacheRoutes, 'upstreams/:name'>

/** Formats the latest check of an upstream: `ok 3 minutes ago`, `failed 3 minutes ago`, or `-` without one. */
const formatShortCheck: Format = (upstream, terminal) => {
  const { lastCheck } = upstream as Upstream
  if (lastCheck === undefined) return '-'
  return `${lastCheck.reachable ? 'ok' : 'failed'} ${formatTime(lastCheck.at, terminal)}`
}

/** Formats a check with its time and, if it failed, the reason. */
const formatCheck: Format = (check, terminal) => {
  const { at, reachable, message } = check as NonNullable<Upstream['lastCheck']>
  return `${reachable ? 'ok' : 'failed'} ${formatRelativeTime(at, terminal)}${reachable ? '' : `: ${sanitize(message)}`}`
}

/** What `cay upstream show` prints. */
const LINES = lines(
  `name, state, URL: url, mirrors, Credentials: credentialsSet | credentials, lastCheck | check, configuredIn,
  settings.hosts, settings.redirects, settings.proxy, settings.username, Authorities: settings.ca | set,
  settings.repositories | repositories, settings.private | yes, settings.connections | count,
  Rate limit: settings.bytesPerSecond | rate, Fresh for: settings.freshSeconds | duration,
  Tags it deleted: settings.gone | gone, Tags it refuses: settings.refused | refused, settings.offline | yes,
  Pulls left: pullsRemaining | count, pullLimit | count`,
  {
    credentials: (isSet) => (isSet === true ? 'set' : 'none'),
    check: formatCheck,
    set: () => 'set',
    repositories: (value) => formatText(value) || 'all',
    rate: (value) => (value === 0 ? 'none' : `${formatBytes(value)} per second`),
    gone: (value) => (value === 'drop' ? 'dropped' : 'kept'),
    refused: (value) => (value === 'refuse' ? 'refused' : 'served'),
  },
)

/** `cay upstream` */
export const upstreams: Noun = {
  summary: 'Manage upstreams, the registries whose content is cached',
  verbs: {
    list: lists(
      'List upstreams',
      '/upstreams',
      'There are no upstreams: use cay upstream create docker.io, or [[upstream]] in cay.toml.',
      columns('name, state, url, pulls left: pullsRemaining, last check: | check, configuredIn', {
        check: formatShortCheck,
      }),
    ),
    show: shows(
      '<upstream>',
      'Show an upstream, without its credentials',
      (name) => apiPath('upstreams', name),
      LINES,
    ),
    create: {
      usage: '<name>',
      summary: 'Create an upstream',
      options: [...SETTING_OPTIONS, ...SECRET_OPTIONS],
      run: async ({ client, args: [name = ''], options }) =>
        create(client, `created upstream ${name}`, apiPath('upstreams', name), {
          ...(await settingsOf(options)),
          ...(await readSecrets(name, options)),
        }),
    },
    set: {
      usage: '<upstream>',
      summary: 'Change the settings of an upstream that was created with the API',
      options: [...SETTING_OPTIONS, ...SECRET_OPTIONS],
      run: async ({ client, args: [name = ''], options }) => {
        const path = apiPath('upstreams', name)
        const { value, ifSame } = await readToDestroy<Upstream>(client, path)
        const changes = { ...(await settingsOf(options)), ...(await readSecrets(name, options)) }
        if (Object.keys(changes).length === 0)
          throw usageError('name at least one setting to change: see cay upstream set --help')
        const settings = { ...value.settings, ...changes }
        return change(client, `changed upstream ${name}`, 'PUT', path, settings, ifSame)
      },
    },
    delete: deletes(
      '<upstream>',
      'Delete an upstream; its repositories stay, and are served as local ones',
      (name) => apiPath('upstreams', name),
      (name) => ({
        confirm: `deletes the upstream ${name}; its repositories stay, and are no longer updated`,
        done: `deleted upstream ${name}`,
      }),
    ),
    check: {
      usage: '<upstream>',
      summary: 'Check whether an upstream is reachable and accepts the credentials',
      run: async ({ client, args: [name = ''] }) => {
        type Check = AnswerOf<CacheRoutes, 'upstreams/:name/check', 'post'>
        const value = await client.request<Check>('POST', `${apiPath('upstreams', name)}/check`)
        const { reachable, durationMilliseconds, message } = value
        if (!reachable) throw new CommandError(`${name} cannot be used: ${message}`)
        return { value, line: `${message} (${durationMilliseconds} ms)` }
      },
    },
  },
}
