import { type AdminClient, apiPath, withQuery } from '../admin-client.ts'
import { CommandError, EXIT } from '../failure.ts'
import { momentOf } from '../input/time-argument.ts'
import type { Card } from '../output/answer.ts'
import {
  type Field,
  field,
  formatBytes,
  formatCount,
  formatRelativeTime,
  formatShortDigest,
  formatTags,
  formatTime,
  formatYes,
} from '../output/format.ts'
import { change, readToDestroy } from '../requests.ts'
import { wayBack } from '../time-machine.ts'
import type { Call, Noun } from '../verb.ts'
import { type Manifest, platformsOf } from './manifests.ts'
import { pullersOf, pullsOf } from './pulls.ts'

/** Columns of a list of tags. */
export const TAG_COLUMNS: readonly Field[] = [
  field('tag', 'name', formatTags),
  field('digest', 'digest', formatShortDigest),
  field('kind', 'kind'),
  field('updated', 'updatedAt', formatTime),
  field('pulled', 'lastPulledAt', formatTime),
  field('expires', 'expiresAt', formatTime),
]

/** Columns of a history of tags. */
export const HISTORY_COLUMNS: readonly Field[] = [
  field('time', 'at', formatTime),
  field('tag', 'tag', formatTags),
  field('change', 'type'),
  field('to', 'digest', formatShortDigest),
  field('from', 'previousDigest', formatShortDigest),
  field('restorable', 'restorable', formatYes),
  field('account', 'account'),
]

const TAG_LINES: readonly Field[] = [
  field('Tag', 'name'),
  field('Digest', 'digest'),
  field('Kind', 'kind'),
  field('Media type', 'mediaType'),
  field('Artifact type', 'artifactType'),
  field('Updated', 'updatedAt', formatRelativeTime),
  field('Pushed', 'pushedAt', formatRelativeTime),
  field('Pulls', 'pullCount', formatCount),
  field('Last pulled', 'lastPulledAt', formatRelativeTime),
  field('Expires', 'expiresAt', formatRelativeTime),
]

/** `cay tag` */
export const tags: Noun = {
  summary: 'Manage tags: targets, history, restore',
  verbs: {
    list: {
      usage: '<repository>',
      summary: 'List the tags of a repository',
      isList: true,
      options: [
        ['--search <text>', 'list only tags with this text in the name'],
        ['--sort <field>', 'sort by this field', ['name', 'updated']],
        ['--order <order>', 'sort direction', ['asc', 'desc']],
      ],
      run: ({ args: [repository = ''], options: { search, sort, order } }) => ({
        list: withQuery(`${apiPath('repositories', repository)}/tags`, { q: search, sort, order }),
        columns: TAG_COLUMNS,
        none: `There are no matching tags in ${repository}.`,
      }),
    },
    show: {
      usage: '<repository> <tag>',
      summary: 'Show a tag',
      run: (call) => tagCard(call),
    },
    set: {
      usage: '<repository> <tag> <digest>',
      summary: 'Point a tag to a manifest of its repository; creates the tag if needed',
      run: ({ client, args: [repository = '', tag = '', digest = ''] }) =>
        change(client, 'PUT', tagPath(repository, tag), { digest }),
    },
    expire: {
      usage: '<repository> <tag> <when>',
      summary: 'Set when a tag expires: a time (RFC 3339), a duration (14d, in 2 weeks), or never',
      run: ({ client, args: [repository = '', tag = '', when = ''], terminal }) => {
        const expiresAt = when === 'never' ? null : momentOf(when, terminal.now(), 'future')
        return change(client, 'PATCH', tagPath(repository, tag), { expiresAt })
      },
    },
    delete: {
      usage: '<repository> <tag>',
      summary: 'Delete a tag; it can be restored for 14 days by default',
      isDestructive: true,
      run: async ({ client, args: [repository = '', tag = ''], confirm, terminal }) => {
        const path = tagPath(repository, tag)
        const { value, ifSame } = await readToDestroy<Tag>(client, path)
        const back = await wayBack(client, terminal, 'cay tag restore')
        await confirm(`deletes the tag ${repository}:${tag}, which points to ${value.digest}; ${back}`)
        return change(client, 'DELETE', path, undefined, ifSame)
      },
    },
    restore: {
      usage: '<repository> <tag>',
      summary: 'Restore a deleted tag, or point a tag back to an earlier digest or time',
      options: [
        ['--digest <digest>', 'an earlier digest, from its history'],
        ['--at <time>', 'a time, RFC 3339 or how long ago: 2h, 3 days ago'],
      ],
      isDestructive: true,
      run: async ({
        client,
        args: [repository = '', tag = ''],
        options: { digest, at },
        terminal,
        confirm,
      }) => {
        if ((digest === undefined) === (at === undefined)) {
          throw new CommandError('name the target: either --digest DIGEST or --at TIME', EXIT.usage)
        }
        const to = at === undefined ? { digest } : { at: momentOf(at, terminal.now(), 'past') }
        const now = await findTag(client, repository, tag)
        // Restoring a deleted tag replaces nothing, so no confirmation is needed.
        if (now !== undefined) {
          const target = to.digest ?? `where it pointed at ${to.at}`
          await confirm(`moves the tag ${repository}:${tag} from ${now.digest} to ${target}`)
        }
        return change(client, 'POST', `${tagPath(repository, tag)}/restore`, to)
      },
    },
    history: {
      usage: '<repository> <tag>',
      summary: 'List the moves of a tag, newest first',
      isList: true,
      run: ({ args: [repository = '', tag = ''] }) => ({
        list: `${tagPath(repository, tag)}/history`,
        columns: HISTORY_COLUMNS,
        none: 'The tag has no history.',
      }),
    },
    pulls: {
      usage: '<repository> <tag>',
      summary: 'List who pulled a tag in the last 90 days, by day and account',
      isList: true,
      run: ({ args: [repository = '', tag = ''] }) => pullsOf(repository, tag),
    },
  },
}

async function tagCard({ client, args: [repository = '', tag = ''], options }: Call): Promise<Card> {
  const value = await getTag(client, repository, tag)
  if (options.json === 'true') return { value, lines: [] }
  const path = apiPath('repositories', repository, 'manifests', value.digest)
  const [manifest, tables] = await Promise.all([
    client.request<Manifest>('GET', path),
    pullersOf(client, repository, tag),
  ])
  const lines = [
    field('Platforms', 'name', () => platformsOf(manifest).join(', ')),
    field('Size', 'name', () => formatBytes(manifest.totalBytes)),
  ]
  return { value, lines: [...TAG_LINES, ...lines], tables }
}

function tagPath(repository: string, tag: string): string {
  return apiPath('repositories', repository, 'tags', tag)
}

interface Tag {
  digest: string
}

function getTag(client: AdminClient, repository: string, tag: string): Promise<Tag> {
  return client.request('GET', tagPath(repository, tag))
}

async function findTag(client: AdminClient, repository: string, tag: string) {
  try {
    return await getTag(client, repository, tag)
  } catch (error) {
    if (error instanceof CommandError && error.exit === EXIT.absent) return undefined
    throw error
  }
}
