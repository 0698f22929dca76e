import type { Answer } from '../../../http/admin/answers.ts'
import { isCompanionTag } from '../../../oci/reference.ts'
import { CommandError, EXIT } from '../../failure.ts'
import { purgeRepository } from '../../host/purge.ts'
import { wayBack } from '../../host/time-machine.ts'
import { timeArgument } from '../../input/time-argument.ts'
import { parseDays } from '../../input/units.ts'
import type { Card } from '../../output/answer.ts'
import { type Field, field, formatBytes, formatText } from '../../output/format.ts'
import { type AdminClient, apiPath, type Page, withQuery } from '../../remote/admin-client.ts'
import { change, create, plural } from '../../remote/requests.ts'
import type { Call, Noun, Option } from '../../verb.ts'
import { rewind } from '../rewind.ts'
import { type Manifest, platformsOf } from './manifests.ts'
import { pullersOf, pullsOf } from './pulls.ts'
import { HISTORY_COLUMNS, TAG_COLUMNS } from './tags.ts'

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

function getRepository(client: AdminClient, name: string): Promise<Answer<'repositories/:repository'>> {
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
