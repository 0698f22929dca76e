import type { Card, Line, Listing } from '../cli/answer.ts'
import { type AdminClient, apiPath, type Page, withQuery } from '../cli/client.ts'
import { CommandError, EXIT, unless, usageError } from '../cli/failure.ts'
import {
  formatReference,
  isDigest,
  type Named,
  parseReference,
  parseReferences,
  timeArgument,
  wholeDigest,
} from '../cli/input.ts'
import {
  columns,
  type Format,
  field,
  formatBytes,
  formatRelativeTime,
  formatTags,
  formatText,
  lines,
} from '../cli/output.ts'
import { type Call, change, lists, type Noun, readToDestroy } from '../cli/verb.ts'
import { wayBack } from '../history/command.ts'
import type { ItemOf } from '../http/operation.ts'
import { type Manifest, platformsOf } from './manifest-command.ts'
import type { ContentRoutes } from './models.ts'

/** Columns of a list of tags. */
export const TAG_COLUMNS = columns(
  'tag: name | tags, digest | short digest, kind, updatedAt, pulled: lastPulledAt, expiresAt',
)

/** Columns of a history of tags. */
export const HISTORY_COLUMNS = columns(
  `time: at, tag | tags, change: type, to: digest | short digest, from: previousDigest | short digest,
  restorable | yes, account, reason`,
)

const TAG_LINES = lines(
  `Tag: name, digest, kind, mediaType, artifactType, updatedAt, pushedAt, Pulls: pullCount, lastPulledAt, expiresAt`,
)

/** One tag: `app:1.0`, or the repository and the tag as two words. */
const ONE_TAG = { usage: '<repository> [tag]', shown: 'REPOSITORY:TAG' }

/** `cay tag` */
export const tags: Noun = {
  summary: 'Manage tags: targets, history, restore',
  verbs: {
    list: lists(
      'List the tags of a repository',
      ({ args: [repository = ''], options: { search, sort, order } }) =>
        withQuery(`${apiPath('repositories', repository)}/tags`, { q: search, sort, order }),
      ({ args: [repository = ''] }) => `There are no matching tags in ${repository}.`,
      TAG_COLUMNS,
      {
        usage: '<repository>',
        options: [
          ['--search <text>', 'list only tags with this text in the name'],
          ['--sort <field>', 'sort by this field [name]', ['name', 'updated']],
          ['--order <order>', 'sort direction [asc]', ['asc', 'desc']],
        ],
      },
    ),
    show: { ...ONE_TAG, summary: 'Show a tag', run: tagCard },
    set: {
      usage: '<repository> [references...]',
      shown: 'REPOSITORY:TAG REFERENCE',
      summary: 'Point a tag to a manifest of its repository, by tag or digest; creates the tag if needed',
      run: setTag,
    },
    expire: {
      usage: '<repository> [tag] [when]',
      shown: 'REPOSITORY:TAG WHEN',
      summary: 'Set when a tag expires: a time (RFC 3339), a duration (14d, in 2 weeks), or never',
      run: async ({ client, args, terminal }) => {
        const [named] = parseReferences(args.slice(0, -1))
        const when = args.at(-1) ?? ''
        const expiresAt = when === 'never' ? null : timeArgument(when, terminal.now(), 'future')
        const line =
          expiresAt === null ? 'never expires' : `expires ${formatRelativeTime(expiresAt, terminal)}`
        return change(client, `${formatReference(named)} ${line}`, 'PATCH', tagPath(named), { expiresAt })
      },
    },
    delete: {
      usage: '<repository> [tags...]',
      shown: 'REPOSITORY:TAG...',
      summary: 'Delete tags; they can be restored for 14 days by default',
      isDestructive: true,
      run: deleteTags,
    },
    restore: {
      ...ONE_TAG,
      summary: 'Restore a deleted tag, or point a tag back to an earlier digest or time',
      options: [
        ['--digest <digest>', 'an earlier digest, from its history'],
        ['--at <time>', 'a time, RFC 3339 or how long ago: 2h, 3 days ago [before it was deleted]'],
      ],
      isDestructive: true,
      run: restoreTag,
    },
    history: lists(
      'List the moves of a tag, newest first',
      ({ args }) => `${tagPath(parseReferences(args)[0])}/history`,
      'The tag has no history.',
      HISTORY_COLUMNS,
      ONE_TAG,
    ),
    pulls: {
      ...ONE_TAG,
      summary: 'List who pulled a tag in the last 90 days, by day and account',
      isList: true,
      run: ({ args }) => {
        const [{ repository, reference }] = parseReferences(args)
        return pullsOf(repository, reference)
      },
    },
  },
}

async function setTag({ client, args }: Call): Promise<Line> {
  // The last word is the target; those before it name the tag.
  const [tag] = parseReferences(args.slice(0, -1))
  const source = args.at(-1) ?? ''
  const from = isDigest(source) ? { repository: tag.repository, reference: source } : parseSource(source, tag)
  if (from.repository !== tag.repository)
    throw usageError(
      `${formatReference(tag)} can only point to a manifest of ${tag.repository}: push or copy it there first`,
    )
  const digest = isDigest(from.reference)
    ? await wholeDigest(client, from.reference, from.repository)
    : (await getTag(client, from)).digest
  return change(client, `${formatReference(tag)} points to ${digest}`, 'PUT', tagPath(tag), { digest })
}

/** Parses the target of a tag: `app:1.4`, `app@sha256:...`, or the name of a tag in the same repository. */
function parseSource(source: string, { repository }: Named): Named {
  return /[:@]/.test(source) ? parseReference(source) : { repository, reference: source }
}

async function deleteTags({ client, args, confirm, terminal }: Call): Promise<Line> {
  const named = parseReferences(args, { max: Number.POSITIVE_INFINITY })
  const found = await Promise.all(named.map((one) => readToDestroy<Tag>(client, tagPath(one))))
  const targets = named.map(
    (one, at) => `${formatReference(one)}, which points to ${found[at]?.value.digest}`,
  )
  const back = await wayBack(client, terminal, 'cay tag restore', named.length === 1 ? 'it' : 'they')
  await confirm(
    `deletes ${targets.length === 1 ? 'the tag' : `${targets.length} tags:`} ${targets.join('; ')}; ${back}`,
  )
  const values: unknown[] = []
  for (const [at, one] of named.entries())
    values.push(await client.request('DELETE', tagPath(one), undefined, found[at]?.ifSame))
  return { value: values[0], line: `deleted ${named.map(formatReference).join(', ')}` }
}

async function restoreTag(call: Call): Promise<Line> {
  const { client, args, options, confirm } = call
  const [named] = parseReferences(args)
  if (options.digest !== undefined && options.at !== undefined)
    throw usageError('name the target with either --digest DIGEST or --at TIME')
  const now = await unless(EXIT.absent, getTag(client, named))
  const to = await targetOf(call, named, now)
  // Restoring a deleted tag replaces nothing, so no confirmation is needed.
  if (now !== undefined) {
    const target = 'at' in to ? `where it pointed at ${to.at}` : to.digest
    await confirm(`moves the tag ${formatReference(named)} from ${now.digest} to ${target}`)
  }
  const value = await client.request<Tag>('POST', `${tagPath(named)}/restore`, to)
  return { value, line: `${formatReference(named)} points to ${value.digest}` }
}

/** Returns what the tag is restored to. Without an option, that is what it was before it was deleted. */
async function targetOf(
  { client, options: { digest, at }, terminal }: Call,
  named: Named,
  now: Tag | undefined,
): Promise<{ digest: string } | { at: string }> {
  if (digest !== undefined) return { digest: await wholeDigest(client, digest, named.repository) }
  if (at !== undefined) return { at: timeArgument(at, terminal.now(), 'past') }
  if (now !== undefined)
    throw usageError(
      `${formatReference(named)} exists: name its target with either --digest DIGEST or --at TIME`,
    )
  const path = withQuery(`${tagPath(named)}/history`, { limit: 1 })
  const { items } = await client.request<{ items: { previousDigest?: string }[] }>('GET', path)
  const previous = items[0]?.previousDigest
  if (previous !== undefined) return { digest: previous }
  throw new CommandError(`there was no tag ${formatReference(named)}`, EXIT.absent)
}

async function tagCard({ client, args, options }: Call): Promise<Card> {
  const [named] = parseReferences(args)
  const value = await getTag(client, named)
  if (options.json === 'true') return { value, lines: [] }
  const path = apiPath('repositories', named.repository, 'manifests', value.digest)
  const [manifest, tables] = await Promise.all([
    client.request<Manifest>('GET', path),
    pullersOf(client, named.repository, named.reference),
  ])
  const ofManifest = [
    field('Platforms', 'name', () => platformsOf(manifest).join(', ')),
    field('Size', 'name', () => formatBytes(manifest.totalBytes)),
  ]
  return { value, lines: [...TAG_LINES, ...ofManifest], tables }
}

function tagPath({ repository, reference }: Named): string {
  return apiPath('repositories', repository, 'tags', reference)
}

interface Tag {
  digest: string
}

function getTag(client: AdminClient, named: Named): Promise<Tag> {
  return client.request('GET', tagPath(named))
}

type DailyPulls = ItemOf<ContentRoutes, 'repositories/:repository/pulls'>

/** How many rows of the API a card adds up, and how many accounts it shows. */
const ROWS_MAX = 500
const ACCOUNTS_MAX = 10

const FORMATS: Readonly<Record<string, Format>> = {
  account: (row) => formatText((row as DailyPulls).account ?? 'anonymous'),
  tag: (row, terminal) => formatTags((row as DailyPulls).tag ?? '(by digest)', terminal),
}

const COLUMNS = columns('day, tag: | tag, account: | account, pulls: pullCount', FORMATS)

/** Lists who pulled from a repository. */
export function pullsOf(repository: string, tag: string | undefined): Listing {
  return {
    list: withQuery(`${apiPath('repositories', repository)}/pulls`, { tag }),
    columns: COLUMNS,
    none: 'Nobody pulled it in the last 90 days.',
  }
}

/** Returns the table of the accounts that pulled most recently. There is none for callers who cannot see them. */
export async function pullersOf(
  client: AdminClient,
  repository: string,
  tag?: string,
): Promise<NonNullable<Card['tables']>> {
  const path = withQuery(pullsOf(repository, tag).list, { limit: ROWS_MAX })
  const page = await unless(EXIT.denied, client.request<Page>('GET', path))
  const accounts = byAccount((page?.items ?? []) as DailyPulls[])
  if (accounts.length === 0) return []
  const isAll = page?.nextCursor === undefined && accounts.length <= ACCOUNTS_MAX
  return [
    {
      title: isAll ? 'Pulled by, in the last 90 days' : 'Most recently pulled by (cay repo pulls lists all)',
      items: accounts.slice(0, ACCOUNTS_MAX),
      columns: columns('account: | account, pulls: pullCount, last: day', FORMATS),
    },
  ]
}

/** Adds up the pulls of each account. The rows are in order of days, newest first, and so are the accounts. */
function byAccount(rows: readonly DailyPulls[]): DailyPulls[] {
  const accounts = new Map<string | undefined, DailyPulls>()
  for (const row of rows) {
    const before = accounts.get(row.account)
    accounts.set(row.account, { ...(before ?? row), pullCount: (before?.pullCount ?? 0) + row.pullCount })
  }
  return [...accounts.values()]
}
