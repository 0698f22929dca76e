import type { Answer, Item } from '../../http/admin/answers.ts'
import { CommandError, EXIT } from '../failure.ts'
import { confirmPurge, isNothing, purgeAll } from '../host/purge.ts'
import type { Result } from '../output/answer.ts'
import { type Field, field, formatBytes, formatRelativeTime } from '../output/format.ts'
import { type AdminClient, pagesOf, withQuery } from '../remote/admin-client.ts'
import { plural } from '../remote/requests.ts'
import type { Call, Noun } from '../verb.ts'
import { startJob } from './jobs.ts'

/** How many candidates the confirmation counts. */
const COUNTED_MAX = 2000

const CANDIDATE_COLUMNS: readonly Field[] = [
  field('kind', 'kind'),
  field('repository', 'repository'),
  field('tag', 'tag', 'tags'),
  field('digest', 'digest'),
  field('reason', 'reason'),
  field('since', 'since', 'time'),
  field('collectable', 'collectableAt', 'time'),
  field('size', 'bytes', 'bytes'),
]

/** `cay gc` */
export const collector: Noun = {
  summary: 'Collect garbage, and explain what is kept',
  byDefault: 'run',
  verbs: {
    run: {
      summary: 'Collect garbage now; the server also does so regularly',
      isDestructive: true,
      isList: true,
      options: [
        ['--dry-run', 'delete nothing: list what would be deleted, when, and its size'],
        ['--explain <digest>', 'delete nothing: explain why a digest is kept, or when it is deleted'],
        ['--repository <repository>', 'with --explain: only in this repository'],
        ['--now', 'also permanently delete what can still be restored: all deleted and untagged content'],
        ['--detach', 'return at once, without showing progress'],
      ],
      run: (call) => {
        const { explain, dryRun } = call.options
        if (explain !== undefined) return explanation(call, explain)
        if (dryRun === 'true') {
          return {
            list: '/gc/candidates',
            columns: CANDIDATE_COLUMNS,
            none: 'There is no garbage.',
            sum: () => total(call.client),
          }
        }
        return collect(call, call.options.now === 'true')
      },
    },
    status: {
      summary: 'Show the state of the collector and its last run',
      run: async ({ client }) => ({
        value: await client.request('GET', '/gc'),
        lines: [
          field('Running', 'running', 'yes'),
          field('Waits until', 'waitingUntil', 'local time'),
          field('Grace period', 'garbageWindow.graceSeconds', 'duration'),
          field('Window', 'garbageWindow.windowSeconds', 'duration'),
          field('Never tagged', 'garbageWindow.untaggedDays', 'kept days'),
          field('Last run', 'lastRun.endedAt', 'local time'),
          field('Tags deleted', 'lastRun.tagCount', 'count'),
          field('Manifests deleted', 'lastRun.manifestCount', 'count'),
          field('Repositories deleted', 'lastRun.repositoryCount', 'count'),
          field('Blobs deleted', 'lastRun.blobCount', 'count'),
          field('Bytes freed', 'lastRun.bytes', 'bytes'),
        ],
      }),
    },
  },
}

async function total(client: AdminClient): Promise<string> {
  const totals = await client.request<Answer<'gc/totals'>>('GET', '/gc/totals')
  const counts = [
    plural(totals.tagCount, 'tag'),
    plural(totals.manifestCount, 'manifest'),
    plural(totals.repositoryCount, 'repository'),
    plural(totals.blobCount, 'blob'),
  ]
  return `${counts.join(', ')}: ${formatBytes(totals.bytes)}${totals.truncated ? ', or more' : ''}`
}

async function collect(call: Call, isPurge: boolean): Promise<Result> {
  const { client, terminal, confirm } = call
  const { waitingUntil } = await client.request<Answer<'gc'>>('GET', '/gc')
  if (waitingUntil !== undefined && client.isEmbedded) {
    throw new CommandError(
      'no server is running on this data folder: start cay serve, which collects garbage once it has run for the grace period',
    )
  }
  if (waitingUntil !== undefined) {
    const until = formatRelativeTime(waitingUntil, terminal)
    return {
      value: { waitingUntil },
      line: `nothing was deleted: the server has not run for the grace period yet; it collects garbage from ${until}`,
    }
  }
  const purgeable = isPurge ? await client.request<Answer<'gc/purge'>>('GET', '/gc/purge') : undefined
  if (purgeable && !isNothing(purgeable)) {
    await confirmPurge(call, [purgeable], '')
    terminal.note(`purged ${await purgeAll(call)}`)
    return startJob(call, 'gc')
  }
  await confirm(`permanently deletes ${await countDue(client, terminal.now())}`)
  return startJob(call, 'gc')
}

/** Returns what can be collected now: `2 manifests, 1 blob, 1.2 GiB`. */
async function countDue(client: AdminClient, now: number): Promise<string> {
  const counts = new Map<string, number>()
  let bytes = 0
  let truncated = false
  for await (const page of pagesOf(client, '/gc/candidates', { limit: COUNTED_MAX })) {
    for (const { kind, collectableAt, bytes: size } of page.items as Item<'gc/candidates'>[]) {
      if (Date.parse(collectableAt) > now) continue
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
      bytes += size
    }
    truncated = page.nextCursor !== undefined
  }
  if (counts.size === 0) return 'what has become garbage by the time it runs (there is none now)'
  const things = [...counts].map(([kind, count]) => plural(count, kind)).join(', ')
  return `${things}, ${formatBytes(bytes)}${truncated ? ', or more' : ''}`
}

/** The reasons, in words for people. */
const REASONS: Readonly<Record<string, string>> = {
  tag: 'a tag points to it',
  index: 'an index contains it',
  subject: 'it refers to a manifest that is kept',
  manifest: 'a manifest uses it',
  pushed: 'it was pushed or mounted recently, or a client that can push asked for it',
  unreferenced: 'nothing refers to it any more',
  untagged: 'it never had a tag',
  deleted: 'it was deleted, and can be restored',
  'repository-deleted': 'its repository was deleted, and can be restored',
}

async function explanation({ client, options: { repository, json } }: Call, digest: string): Promise<Result> {
  const value = await client.request<Answer<'gc/explain'>>(
    'GET',
    withQuery('/gc/explain', { digest, repository }),
  )
  if (value.items.length === 0 && json !== 'true')
    throw new CommandError(`not found in any repository: ${digest}`, EXIT.absent)
  const columns = [
    field('reason', 'reason', (reason) => REASONS[String(reason)] ?? String(reason)),
    field('which', 'referencedBy'),
    field('until', 'until', 'time'),
  ]
  return {
    value,
    lines: [
      field('Digest', '', () => digest),
      field('Found in', 'items', (items) => plural((items as []).length, 'place')),
    ],
    tables: value.items.map(({ kind, repository, collectableAt, reasons }) => ({
      title: `The ${kind} in ${repository} is ${collectableAt === undefined ? 'kept' : `collected from ${collectableAt}`}`,
      items: reasons,
      columns,
    })),
  }
}
