import type { Card } from '../cli/answer.ts'
import { type AdminClient, apiPath, type Page, withQuery } from '../cli/client.ts'
import { usageError } from '../cli/failure.ts'
import { parseDays, timeArgument } from '../cli/input.ts'
import { columns, type Field, field, formatBytes, formatText, lines } from '../cli/output.ts'
import { type Call, change, create, lists, type Noun, type Option, plural, shows } from '../cli/verb.ts'
import { purgeRepository } from '../garbage/command.ts'
import { rewind, wayBack } from '../history/command.ts'
import type { AnswerOf } from '../http/operation.ts'
import { isCompanionTag } from '../oci/reference.ts'
import { type Manifest, platformsOf } from './manifest-command.ts'
import type { ContentRoutes } from './models.ts'
import { HISTORY_COLUMNS, pullersOf, pullsOf, TAG_COLUMNS } from './tag-command.ts'

const SETTINGS: readonly Option[] = [
  ['--description <text>', 'a description for people'],
  [
    '--untagged-days <days>',
    'days until a manifest that never had a tag is collected; 0: never; "default": the setting of the server',
  ],
  [
    '--immutable-tags <patterns>',
    'tags that can be created, but not moved or deleted: patterns, separated by commas; "*": all; "none": none',
  ],
]

/** How many tags a card shows. */
const NEWEST_TAGS = 10

const COLUMNS = columns(
  `name, tags: tagCount, size: bytes, own: uniqueBytes, pushed: lastPushedAt, pulled: lastPulledAt,
  pulls: pullCount`,
)

const DELETED_COLUMNS = columns('name, size: bytes, deletedAt, restorableUntil | time')

/** `cay repo` */
export const repositories: Noun = {
  summary: 'Manage repositories: settings, deletion, restore',
  verbs: {
    list: {
      summary: 'List repositories; with --deleted, those that can be restored',
      isList: true,
      options: [
        ['--search <text>', 'list only repositories with this text in the name or description'],
        ['--deleted', 'list deleted repositories that can be restored'],
      ],
      run: ({ options: { search, deleted } }) => ({
        list: withQuery('/repositories', { q: search, deleted }),
        columns: deleted === 'true' ? DELETED_COLUMNS : COLUMNS,
        none:
          deleted === 'true'
            ? 'There are no deleted repositories that can be restored.'
            : 'There are no repositories.',
      }),
    },
    show: {
      usage: '<repository>',
      summary: 'Show a repository: its contents, usage and newest tags',
      run: repositoryCard,
    },
    create: {
      usage: '<repository>',
      summary: 'Create a repository; a push also creates one',
      options: SETTINGS,
      run: ({ client, args: [name = ''], options }) =>
        create(client, `created repository ${name}`, apiPath('repositories', name), settingsOf(options)),
    },
    set: {
      usage: '<repository>',
      summary: 'Change the settings of a repository',
      options: SETTINGS,
      run: ({ client, args: [name = ''], options }) => {
        const settings = settingsOf(options)
        if (Object.keys(settings).length === 0)
          throw usageError('name at least one setting to change: see cay repo set --help')
        const path = apiPath('repositories', name)
        return change(client, `changed repository ${name}`, 'PATCH', path, settings)
      },
    },
    delete: {
      usage: '<repository>',
      summary: 'Delete a repository and everything in it; it can be restored for 14 days by default',
      isDestructive: true,
      run: async ({ client, args: [name = ''], confirm, terminal }) => {
        const { tagCount, manifestCount, bytes } = await getRepository(client, name)
        const contents = `${plural(tagCount, 'tag')}, ${plural(manifestCount, 'manifest')}, ${formatBytes(bytes)}`
        const back = await wayBack(client, terminal, 'cay repo restore')
        await confirm(`deletes the repository ${name}: ${contents}; ${back}`)
        return change(client, `deleted repository ${name}`, 'DELETE', apiPath('repositories', name))
      },
    },
    purge: {
      usage: '<repository>',
      summary: 'Permanently delete the deleted and untagged content of a repository, to free space at once',
      isDestructive: true,
      run: (call) => purgeRepository(call, call.args[0] ?? '', []),
    },
    restore: {
      usage: '<repository>',
      summary: 'Restore a deleted repository',
      options: [['--deleted-at <time>', 'when it was deleted, if several of this name were [the newest]']],
      run: ({ client, args: [name = ''], options, terminal }) => {
        const at = options.deletedAt
        const body = at === undefined ? {} : { deletedAt: timeArgument(at, terminal.now(), 'past') }
        const path = `${apiPath('repositories', name)}/restore`
        return change(client, `restored repository ${name}`, 'POST', path, body)
      },
    },
    rewind: {
      usage: '<repository>',
      summary: 'Reset all tags of a repository to an earlier time',
      options: [['--at <time>', 'the time, RFC 3339 or how long ago: 2h, 3 days ago']],
      isDestructive: true,
      run: rewind,
    },
    history: lists(
      'List the moves of all tags of a repository, newest first',
      ({ args: [name = ''] }) => `${apiPath('repositories', name)}/history`,
      'No tag has been set or moved.',
      HISTORY_COLUMNS,
      { usage: '<repository>' },
    ),
    pulls: {
      usage: '<repository>',
      summary: 'List who pulled from a repository in the last 90 days, by day, tag and account',
      isList: true,
      run: ({ args: [name = ''] }) => pullsOf(name, undefined),
    },
  },
}

function getRepository(
  client: AdminClient,
  name: string,
): Promise<AnswerOf<ContentRoutes, 'repositories/:repository'>> {
  return client.request('GET', apiPath('repositories', name))
}

async function repositoryCard({ client, args: [name = ''], options }: Call): Promise<Card> {
  const path = apiPath('repositories', name)
  if (options.json === 'true') return { value: await getRepository(client, name), lines: [] }
  const [value, pullers, newest] = await Promise.all([
    getRepository(client, name),
    pullersOf(client, name),
    client.request<Page>(
      'GET',
      withQuery(`${path}/tags`, { sort: 'updated', order: 'desc', limit: NEWEST_TAGS }),
    ),
  ])
  return {
    value,
    lines: [...NAMES, ...(await newestLines(client, path, newest.items)), ...COUNTS],
    tables: [
      {
        title: newest.nextCursor === undefined ? 'Tags' : `The newest ${newest.items.length} tags`,
        items: newest.items,
        columns: TAG_COLUMNS,
      },
      ...pullers,
    ],
  }
}

const NAMES = lines('name, description')

const COUNTS =
  lines(`Tags: tagCount, Manifests: manifestCount, Size: bytes, Not shared: uniqueBytes, Pulls: pullCount,
  lastPulledAt, Pushes: pushCount, lastPushedAt, createdAt, immutableTags, Never tagged: untaggedDays | kept days`)

/** Describes the newest tag that is not a signature's or the like: most likely what the repository is for. */
async function newestLines(client: AdminClient, path: string, newest: unknown[]): Promise<Field[]> {
  const names = (newest as { name: string }[]).map(({ name }) => name)
  const name = names.find((name) => !isCompanionTag(name))
  if (name === undefined) return []
  const manifest = await client.request<Manifest>('GET', `${path}${apiPath('manifests', name)}`)
  return [
    field('Kind', 'name', () => formatText(manifest.kind)),
    field('Platforms', 'name', () => platformsOf(manifest).join(', ')),
  ]
}

/** Returns the settings that the options name, in the form of the API. */
function settingsOf(options: Readonly<Record<string, string>>) {
  const { description, untaggedDays: days, immutableTags: patterns } = options
  return {
    ...(description === undefined ? {} : { description }),
    ...(days === undefined
      ? {}
      : { untaggedDays: days === 'default' ? null : parseDays(days, '--untagged-days') }),
    ...(patterns === undefined ? {} : { immutableTags: patterns === 'none' ? [] : patterns.split(',') }),
  }
}

/** `cay storage` */
export const storage: Noun = {
  summary: 'Show disk usage',
  byDefault: 'show',
  verbs: {
    show: shows(
      undefined,
      'Show how much is stored and how much is free',
      () => '/storage',
      lines(
        `Blobs: blobs.count | count, Bytes of blobs: blobs.bytes, Uploads: uploads.count | count,
        Bytes of uploads: uploads.bytes, Free on the disk: disk.freeBytes, Size of the disk: disk.totalBytes,
        Damaged: damagedCount`,
      ),
    ),
    repositories: lists(
      'List how much each repository stores, by itself and shared with others',
      ({ options: { sort = 'bytes' } }) => withQuery('/storage/repositories', { sort }),
      'There are no repositories.',
      columns('repository, blobs: blobCount, size: bytes, own: uniqueBytes, shared: sharedBytes, deletedAt'),
      {
        options: [
          [
            '--sort <field>',
            'sort by bytes (largest first, with deleted ones), or by name [bytes]',
            ['name', 'bytes'],
          ],
        ],
      },
    ),
  },
}

const NONE: Group = { items: [], truncated: false }

/** `cay search` */
export const search: Noun = {
  summary: 'Search repositories, tags, digests and labels',
  byDefault: 'find',
  verbs: {
    find: {
      usage: '<text>',
      summary:
        'Find repositories by part of their name, and tags and manifests by the beginning of a tag, digest or label',
      run: async ({ client, args: [text], terminal }) => {
        const value = await client.request<Found>('GET', withQuery('/search', { q: text }))
        const table = (title: string, { items, truncated }: Group, text: string) => ({
          title: truncated ? `${title} (the first ${items.length})` : title,
          items,
          columns: columns(text),
        })
        const tables = [
          table('Repositories', value.repositories, 'name, size: bytes'),
          table('Tags', value.tags, 'repository, tag: name, digest | short digest, kind'),
          table('Manifests', value.manifests, 'repository, digest | short digest, kind'),
          table('Labels', value.labels ?? NONE, 'repository, tag, digest | short digest, label'),
        ]
        if (tables.every(({ items }) => items.length === 0)) terminal.note(`Nothing was found for "${text}".`)
        return { value, lines: [], tables }
      },
    },
  },
}

interface Group {
  items: readonly unknown[]
  truncated: boolean
}

interface Found {
  repositories: Group
  tags: Group
  manifests: Group
  /** An older server does not search labels. */
  labels?: Group
}

/** `cay upload` */
export const uploads: Noun = {
  summary: 'Manage uploads in progress',
  verbs: {
    list: lists(
      'List uploads that have received bytes, oldest first',
      '/uploads',
      'There are no uploads in progress.',
      columns('id, repository, size: bytes, startedAt, changed: updatedAt'),
    ),
    cancel: {
      usage: '<upload>',
      summary: 'Cancel an upload',
      isDestructive: true,
      run: async ({ client, args: [id = ''], confirm }) => {
        await confirm(
          `cancels the upload ${id} and deletes the bytes that it received; its client must start again`,
        )
        return change(client, `canceled the upload ${id}`, 'DELETE', apiPath('uploads', id))
      },
    },
  },
}
