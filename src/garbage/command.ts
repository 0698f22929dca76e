import type { Result } from '../cli/answer.ts'
import { type AdminClient, apiPath, pagesOf, withQuery } from '../cli/client.ts'
import { CommandError, EXIT } from '../cli/failure.ts'
import {
  columns,
  field,
  formatBytes,
  formatRelativeTime,
  formatTime,
  lines,
  type Terminal,
} from '../cli/output.ts'
import { type Call, type Noun, plural, shows } from '../cli/verb.ts'
import type { AnswerOf, ItemOf } from '../http/operation.ts'
import { startJob } from '../jobs/command.ts'
import type { GarbageRoutes } from './models.ts'

/** How many candidates the confirmation counts. */
const COUNTED_MAX = 2000

const CANDIDATE_COLUMNS = columns(
  'kind, repository, tag | tags, digest, reason, since | time, collectableAt, size: bytes',
)

/** What `cay gc status` prints. */
const LINES = lines(
  `running | yes, Waits until: waitingUntil | local time, Grace period: garbageWindow.graceSeconds | duration,
  Window: garbageWindow.windowSeconds | duration, Never tagged: garbageWindow.untaggedDays | kept days,
  Last run: lastRun.endedAt, Tags deleted: lastRun.tagCount, Manifests deleted: lastRun.manifestCount,
  Repositories deleted: lastRun.repositoryCount, Blobs deleted: lastRun.blobCount, Bytes freed: lastRun.bytes`,
)

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
    status: shows(undefined, 'Show the state of the collector and its last run', () => '/gc', LINES),
  },
}

async function total(client: AdminClient): Promise<string> {
  const totals = await client.request<AnswerOf<GarbageRoutes, 'gc/totals'>>('GET', '/gc/totals')
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
  const { waitingUntil } = await client.request<AnswerOf<GarbageRoutes, 'gc'>>('GET', '/gc')
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
  const purgeable = isPurge
    ? await client.request<AnswerOf<GarbageRoutes, 'gc/purge'>>('GET', '/gc/purge')
    : undefined
  if (purgeable && !isNothing(purgeable)) {
    await confirmPurge(call, [purgeable], '')
    terminal.note(`purged ${resultOf(await client.request<Purged>('POST', '/gc/purge'), terminal)}`)
  } else await confirm(`permanently deletes ${await countDue(client, terminal.now())}`)
  return startJob(call, 'gc')
}

type Candidate = ItemOf<GarbageRoutes, 'gc/candidates'>

/** Returns what can be collected now: `2 manifests, 1 blob, 1.2 GiB`. */
async function countDue(client: AdminClient, now: number): Promise<string> {
  const counts = new Map<string, number>()
  let bytes = 0
  let truncated = false
  for await (const page of pagesOf(client, '/gc/candidates', { limit: COUNTED_MAX })) {
    for (const { kind, collectableAt, bytes: size } of page.items as Candidate[]) {
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
  const value = await client.request<AnswerOf<GarbageRoutes, 'gc/explain'>>(
    'GET',
    withQuery('/gc/explain', { digest, repository }),
  )
  if (value.items.length === 0 && json !== 'true')
    throw new CommandError(`not found in any repository: ${digest}`, EXIT.absent)
  const reasonColumns = columns('reason | reason, which: referencedBy, until | time', {
    reason: (reason) => REASONS[String(reason)] ?? String(reason),
  })
  return {
    value,
    lines: [
      field('Digest', '', () => digest),
      field('Found in', 'items', (items) => plural((items as []).length, 'place')),
    ],
    tables: value.items.map(({ kind, repository, collectableAt, reasons }) => ({
      title: `The ${kind} in ${repository} is ${collectableAt === undefined ? 'kept' : `collected from ${collectableAt}`}`,
      items: reasons,
      columns: reasonColumns,
    })),
  }
}

type Purgeable = AnswerOf<GarbageRoutes, 'gc/purge'>
type Purged = AnswerOf<GarbageRoutes, 'gc/purge', 'post'>

/** Reports whether a purge would delete nothing. */
function isNothing({ repositoryCount, manifestCount, truncated }: Purgeable): boolean {
  return !truncated && repositoryCount + manifestCount === 0
}

/** Says what a purge will delete and asks for confirmation. */
async function confirmPurge(
  { confirm }: Pick<Call, 'confirm'>,
  counted: readonly Purgeable[],
  where: string,
): Promise<void> {
  const sum = (numberOf: (one: Purgeable) => number) => counted.reduce((all, one) => all + numberOf(one), 0)
  const named = inWords([
    [sum((one) => one.repositoryCount), 'deleted repository'],
    [sum((one) => one.manifestCount), 'deleted or untagged manifest'],
  ])
  const bytes = counted.every((one) => one.bytes !== undefined)
    ? ` (${formatBytes(sum((one) => one.bytes ?? 0))})`
    : ''
  const more = counted.some(({ truncated }) => truncated) ? ', or more' : ''
  await confirm(`permanently deletes ${named}${where}${bytes}${more}, without a way to restore`)
}

/** Purges a repository, or manifests of it. */
export async function purgeRepository(
  call: Call,
  repository: string,
  digests: readonly string[],
): Promise<Result> {
  const { client } = call
  const path = `${apiPath('repositories', repository)}/purge`
  const targets = digests.length === 0 ? [undefined] : digests
  const counted: Purgeable[] = []
  for (const digest of targets) counted.push(await client.request('GET', withQuery(path, { digest })))
  if (counted.every(isNothing))
    return { value: counted[0], line: `nothing to purge: ${repository} has no deleted or untagged manifests` }
  await confirmPurge(call, counted, ` in ${repository}`)
  const done: Purged[] = []
  for (const digest of targets)
    done.push(await client.request('POST', path, digest === undefined ? {} : { digest }))
  const value = {
    ...done.at(-1),
    repositoryCount: done.reduce((sum, one) => sum + one.repositoryCount, 0),
    manifestCount: done.reduce((sum, one) => sum + one.manifestCount, 0),
  }
  return { value, line: `purged ${repository}: ${resultOf(value, call.terminal)}` }
}

function resultOf({ repositoryCount, manifestCount, heldUntil }: Purged, terminal: Terminal): string {
  const counts =
    inWords([
      [repositoryCount, 'repository'],
      [manifestCount, 'manifest'],
    ]) || 'nothing'
  return heldUntil === undefined
    ? `${counts}; the space is freed now`
    : `${counts}; content that a push in progress may refer to is freed by ${formatTime(heldUntil, terminal)}`
}

/** `2 repositories and 1 manifest`, without what there is none of */
function inWords(things: [count: number, one: string][]): string {
  return things
    .filter(([count]) => count > 0)
    .map(([count, one]) => plural(count, one))
    .join(' and ')
}
