import type { Card } from '../cli/answer.ts'
import { type AdminClient, apiPath, type Page, withQuery } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import { parseDays, timeArgument } from '../cli/input.ts'
import { type Field, field, formatBytes, formatText } from '../cli/output.ts'
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

const COLUMNS: readonly Field[] = [
  field('name', 'name'),
  field('tags', 'tagCount', 'count'),
  field('size', 'bytes', 'bytes'),
  field('own', 'uniqueBytes', 'bytes'),
  field('pushed', 'lastPushedAt', 'time'),
  field('pulled', 'lastPulledAt', 'time'),
  field('pulls', 'pullCount', 'count'),
]

const DELETED_COLUMNS: readonly Field[] = [
  field('name', 'name'),
  field('size', 'bytes', 'bytes'),
  field('deleted', 'deletedAt', 'time'),
  field('restorable until', 'restorableUntil', 'time'),
]

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
      run: (call) => repositoryCard(call),
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
        if (Object.keys(settings).length > 0)
          return change(
            client,
            `changed repository ${name}`,
            'PATCH',
            apiPath('repositories', name),
            settings,
          )
        throw new CommandError('name at least one setting to change: see cay repo set --help', EXIT.usage)
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
        return change(
          client,
          `restored repository ${name}`,
          'POST',
          `${apiPath('repositories', name)}/restore`,
          body,
        )
      },
    },
    rewind: {
      usage: '<repository>',
      summary: 'Reset all tags of a repository to an earlier time',
      options: [['--at <time>', 'the time, RFC 3339 or how long ago: 2h, 3 days ago']],
      isDestructive: true,
      run: rewind,
    },
    history: {
      usage: '<repository>',
      summary: 'List the moves of all tags of a repository, newest first',
      isList: true,
      run: ({ args: [name = ''] }) => ({
        list: `${apiPath('repositories', name)}/history`,
        columns: HISTORY_COLUMNS,
        none: 'No tag has been set or moved.',
      }),
    },
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
    lines: [
      field('Name', 'name'),
      field('Description', 'description'),
      ...(await newestLines(client, path, newest.items)),
      field('Tags', 'tagCount', 'count'),
      field('Manifests', 'manifestCount', 'count'),
      field('Size', 'bytes', 'bytes'),
      field('Not shared', 'uniqueBytes', 'bytes'),
      field('Pulls', 'pullCount', 'count'),
      field('Last pulled', 'lastPulledAt', 'local time'),
      field('Pushes', 'pushCount', 'count'),
      field('Last pushed', 'lastPushedAt', 'local time'),
      field('Created', 'createdAt', 'local time'),
      field('Immutable tags', 'immutableTags'),
      field('Never tagged', 'untaggedDays', 'kept days'),
    ],
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
  const { description, untaggedDays, immutableTags: patterns } = options
  return {
    ...(description === undefined ? {} : { description }),
    ...(untaggedDays === undefined ? {} : { untaggedDays: parseUntaggedDays(untaggedDays) }),
    ...(patterns === undefined ? {} : { immutableTags: patterns === 'none' ? [] : patterns.split(',') }),
  }
}

function parseUntaggedDays(text: string): number | null {
  return text === 'default' ? null : parseDays(text, '--untagged-days')
}

/** `cay storage` */
export const storage: Noun = {
  summary: 'Show disk usage',
  byDefault: 'show',
  verbs: {
    show: shows(undefined, 'Show how much is stored and how much is free', () => '/storage', [
      field('Blobs', 'blobs.count', 'count'),
      field('Bytes of blobs', 'blobs.bytes', 'bytes'),
      field('Uploads', 'uploads.count', 'count'),
      field('Bytes of uploads', 'uploads.bytes', 'bytes'),
      field('Free on the disk', 'disk.freeBytes', 'bytes'),
      field('Size of the disk', 'disk.totalBytes', 'bytes'),
      field('Damaged', 'damagedCount', 'count'),
    ]),
    repositories: {
      summary: 'List how much each repository stores, by itself and shared with others',
      isList: true,
      options: [
        [
          '--sort <field>',
          'sort by bytes (largest first, with deleted ones), or by name [bytes]',
          ['name', 'bytes'],
        ],
      ],
      run: ({ options: { sort = 'bytes' } }) => ({
        list: withQuery('/storage/repositories', { sort }),
        columns: [
          field('repository', 'repository'),
          field('blobs', 'blobCount', 'count'),
          field('size', 'bytes', 'bytes'),
          field('own', 'uniqueBytes', 'bytes'),
          field('shared', 'sharedBytes', 'bytes'),
          field('deleted', 'deletedAt', 'time'),
        ],
        none: 'There are no repositories.',
      }),
    },
  },
}

const REPOSITORY = field('repository', 'repository')
const DIGEST = field('digest', 'digest', 'short digest')
const KIND = field('kind', 'kind')

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
        const table = (title: string, { items, truncated }: Group, columns: readonly Field[]) => ({
          title: truncated ? `${title} (the first ${items.length})` : title,
          items,
          columns,
        })
        const tables = [
          table('Repositories', value.repositories, [field('name', 'name'), field('size', 'bytes', 'bytes')]),
          table('Tags', value.tags, [REPOSITORY, field('tag', 'name'), DIGEST, KIND]),
          table('Manifests', value.manifests, [REPOSITORY, DIGEST, KIND]),
          table('Labels', value.labels ?? NONE, [
            REPOSITORY,
            field('tag', 'tag'),
            DIGEST,
            field('label', 'label'),
          ]),
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
      [
        field('id', 'id'),
        field('repository', 'repository'),
        field('size', 'bytes', 'bytes'),
        field('started', 'startedAt', 'time'),
        field('changed', 'updatedAt', 'time'),
      ],
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
