import { apiPath, withQuery } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { formatReference, parseReferences, readPasswords, resolve } from '../cli/input.ts'
import {
  type Field,
  type Format,
  field,
  formatBytes,
  formatRelativeTime,
  formatText,
  formatTime,
  sanitize,
} from '../cli/output.ts'
import { card, change, create, lists, type Noun, type Option, readToDestroy, shows } from '../cli/verb.ts'
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
    show: shows(undefined, 'Show how much is cached', () => '/cache', [
      field('Size', 'bytes', 'bytes'),
      field('Limit', 'bytesMax', 'bytes'),
      field('Size of manifests', 'manifestBytes', 'bytes'),
      field('Size of interrupted downloads', 'partialBytes', 'bytes'),
      field('Blobs', 'blobCount', 'count'),
      field('Manifests', 'manifestCount', 'count'),
      field('Downloads', 'downloadCount', 'count'),
      field('Requests since the start', 'requestCount', 'count'),
      field('Hits', 'hitCount', 'count'),
      field('Served without a download', 'hitBytes', 'bytes'),
      field('Downloaded', 'downloadedBytes', 'bytes'),
    ]),
    list: lists(
      'List cached tags, and when each was last checked with its upstream',
      '/cache/tags',
      'Nothing is cached.',
      [
        field('repository', 'repository'),
        field('tag', 'tag'),
        field('checked', 'checkedAt', 'time'),
        field('fresh', 'fresh', 'yes'),
        field('digest', 'digest', 'short digest'),
      ],
    ),
    downloads: lists('List blobs that are being downloaded', '/cache/downloads', 'There are no downloads.', [
      field('repository', 'repository'),
      field('received', 'receivedBytes', 'bytes'),
      field('size', 'bytes', 'bytes'),
      field('digest', 'digest', 'short digest'),
    ]),
    refresh: {
      usage: '<repository> [tag]',
      shown: 'REPOSITORY:TAG',
      summary: 'Check a cached tag with its upstream now',
      run: async ({ client, args }) => {
        const { repository, reference: tag } = parseReferences(args)[0]
        return {
          value: await client.request('POST', '/cache/refresh', { repository, tag }),
          lines: [field('Digest', 'digest')],
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
        card(client, withQuery('/cache/explain', { ...(await resolve(client, parseReferences(args)[0])) }), [
          field('State', 'state'),
          field('Why', 'explanation'),
        ]),
    },
  },
}

/** `cay pin` */
export const pins: Noun = {
  summary: 'Manage pins, which protect cached content from eviction',
  verbs: {
    list: lists('List pins', '/pins', 'There are no pins.', [
      field('pattern', 'pattern'),
      field('reference', 'reference'),
      field('created', 'createdAt', 'time'),
    ]),
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

/** The settings as `cay upstream show` prints them. */
const SETTING_FIELDS: readonly Field[] = [
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

/** Formats the latest check of an upstream: `ok 3 minutes ago`, `failed 3 minutes ago`, or `-` without one. */
const formatShortCheck: Format = (upstream, terminal) => {
  const { lastCheck } = upstream as AnswerOf<CacheRoutes, 'upstreams/:name'>
  if (lastCheck === undefined) return '-'
  return `${lastCheck.reachable ? 'ok' : 'failed'} ${formatTime(lastCheck.at, terminal)}`
}

/** Formats a check with its time and, if it failed, the reason. */
const formatCheck: Format = (check, terminal) => {
  const { at, reachable, message } = check as NonNullable<
    AnswerOf<CacheRoutes, 'upstreams/:name'>['lastCheck']
  >
  return `${reachable ? 'ok' : 'failed'} ${formatRelativeTime(at, terminal)}${reachable ? '' : `: ${sanitize(message)}`}`
}

/** `cay upstream` */
export const upstreams: Noun = {
  summary: 'Manage upstreams, the registries whose content is cached',
  verbs: {
    list: lists(
      'List upstreams',
      '/upstreams',
      'There are no upstreams: use cay upstream create docker.io, or [[upstream]] in cay.toml.',
      [
        field('name', 'name'),
        field('state', 'state'),
        field('url', 'url'),
        field('pulls left', 'pullsRemaining'),
        field('last check', '', formatShortCheck),
        field('configured in', 'configuredIn'),
      ],
    ),
    show: shows(
      '<upstream>',
      'Show an upstream, without its credentials',
      (name) => apiPath('upstreams', name),
      [
        field('Name', 'name'),
        field('State', 'state'),
        field('URL', 'url'),
        field('Mirrors', 'mirrors'),
        field('Credentials', 'credentialsSet', (value) => (value === true ? 'set' : 'none')),
        field('Last check', 'lastCheck', formatCheck),
        field('Configured in', 'configuredIn'),
        ...SETTING_FIELDS,
        field('Pulls left', 'pullsRemaining', 'count'),
        field('Pull limit', 'pullLimit', 'count'),
      ],
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
        const { value, ifSame } = await readToDestroy<AnswerOf<CacheRoutes, 'upstreams/:name'>>(client, path)
        const changes = { ...(await settingsOf(options)), ...(await readSecrets(name, options)) }
        if (Object.keys(changes).length === 0)
          throw new CommandError(
            'name at least one setting to change: see cay upstream set --help',
            EXIT.usage,
          )
        return change(
          client,
          `changed upstream ${name}`,
          'PUT',
          path,
          { ...value.settings, ...changes },
          ifSame,
        )
      },
    },
    delete: {
      usage: '<upstream>',
      summary: 'Delete an upstream; its repositories stay, and are served as local ones',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm }) => {
        const path = apiPath('upstreams', name)
        const { ifSame } = await readToDestroy(client, path)
        await confirm(`deletes the upstream ${name}; its repositories stay, and are no longer updated`)
        return change(client, `deleted upstream ${name}`, 'DELETE', path, undefined, ifSame)
      },
    },
    check: {
      usage: '<upstream>',
      summary: 'Check whether an upstream is reachable and accepts the credentials',
      run: async ({ client, args: [name = ''] }) => {
        const path = `${apiPath('upstreams', name)}/check`
        const value = await client.request<AnswerOf<CacheRoutes, 'upstreams/:name/check', 'post'>>(
          'POST',
          path,
        )
        const { reachable, durationMilliseconds, message } = value
        if (!reachable) throw new CommandError(`${name} cannot be used: ${message}`, EXIT.failed)
        return { value, line: `${message} (${durationMilliseconds} ms)` }
      },
    },
  },
}
