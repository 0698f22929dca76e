import { plural } from '../acts.ts'
import { type AdminClient, pagesOf, withQuery } from '../admin-client.ts'
import { CommandError, EXIT } from '../failure.ts'
import type { Answer } from '../output/answer.ts'
import {
  asBytes,
  asCount,
  asDuration,
  asKeptDays,
  asMoment,
  asTags,
  asTime,
  asYes,
  type Shown,
  shown,
} from '../output/shown.ts'
import type { Call, Noun } from '../verb.ts'
import { startJob } from './jobs.ts'

/** Candidates that a question counts. */
const COUNTED_MAX = 2000

const CANDIDATE_COLUMNS: readonly Shown[] = [
  shown('kind', 'kind'),
  shown('repository', 'repository'),
  shown('tag', 'tag', asTags),
  shown('digest', 'digest'),
  shown('why', 'why'),
  shown('since', 'since', asTime),
  shown('goes', 'collectableAt', asTime),
  shown('size', 'bytes', asBytes),
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
        ['--detach', 'do not wait until it ends'],
      ],
      run: (call) => {
        const { explain, dryRun } = call.options
        if (explain !== undefined) return explanation(call, explain)
        if (dryRun === 'true') {
          return {
            list: '/collector/candidates',
            columns: CANDIDATE_COLUMNS,
            none: 'There is no garbage.',
            sum: () => total(call.client),
          }
        }
        return collect(call)
      },
    },
    status: {
      summary: 'Show the state of the collector and its last run',
      run: async ({ client }) => ({
        value: await client.request('GET', '/collector'),
        lines: [
          shown('Running', 'isRunning', asYes),
          shown('Waits until', 'waitingUntil', asMoment),
          shown('Grace', 'garbageWindow.graceSeconds', asDuration),
          shown('Time machine', 'garbageWindow.windowSeconds', asDuration),
          shown('Never tagged', 'garbageWindow.untaggedDays', asKeptDays),
          shown('Last run', 'lastRun.endedAt', asMoment),
          shown('Tags taken', 'lastRun.tags', asCount),
          shown('Manifests taken', 'lastRun.manifests', asCount),
          shown('Repositories taken', 'lastRun.repositories', asCount),
          shown('Blobs taken', 'lastRun.blobs', asCount),
          shown('Bytes freed', 'lastRun.bytes', asBytes),
        ],
      }),
    },
  },
}

/** What goes, now and later, when nothing happens. */
interface Totals {
  tags: number
  manifests: number
  repositories: number
  blobs: number
  bytes: number
  isComplete: boolean
}

async function total(client: AdminClient): Promise<string> {
  const { tags, manifests, repositories, blobs, bytes, isComplete } = await client.request<Totals>(
    'GET',
    '/collector/totals',
  )
  const counts = [
    plural(tags, 'tag'),
    plural(manifests, 'manifest'),
    plural(repositories, 'repository'),
    plural(blobs, 'blob'),
  ]
  return `${counts.join(', ')}: ${asBytes(bytes)}${isComplete ? '' : ', or more'}`
}

interface Candidate {
  kind: 'tag' | 'manifest' | 'repository' | 'blob'
  collectableAt: string
  bytes: number
}

async function collect(call: Call): Promise<Answer> {
  const { client, terminal, confirm } = call
  const { waitingUntil } = await client.request<{ waitingUntil?: string }>('GET', '/collector')
  if (waitingUntil !== undefined && client.isAlone) {
    throw new CommandError(
      'no server runs here, and only one that has been up for a whole grace collects: start cay serve, which does it by itself',
    )
  }
  if (waitingUntil !== undefined) {
    const until = asMoment(waitingUntil, terminal)
    return {
      value: { waitingUntil },
      line: `nothing was taken: the server has not been up for a whole grace, and collects by itself from ${until}`,
    }
  }
  await confirm(`permanently deletes ${await countDue(client, terminal.now())}`)
  return startJob(call, 'collect')
}

/** What goes now: `2 manifests and 1 blob, 1.2 GiB`. */
async function countDue(client: AdminClient, now: number): Promise<string> {
  const counts = new Map<string, number>()
  let bytes = 0
  let truncated = false
  for await (const page of pagesOf(client, '/collector/candidates', { limit: COUNTED_MAX })) {
    for (const { kind, collectableAt, bytes: size } of page.items as Candidate[]) {
      if (Date.parse(collectableAt) > now) continue
      counts.set(kind, (counts.get(kind) ?? 0) + 1)
      bytes += size
    }
    truncated = page.next !== undefined
  }
  if (counts.size === 0) return 'what has become garbage by then: there is none now'
  const things = [...counts].map(([kind, count]) => plural(count, kind)).join(', ')
  return `${things}, ${asBytes(bytes)}${truncated ? ', or more' : ''}`
}

interface Explanation {
  kind: string
  repository: string
  collectableAt?: string
  reasons: { reason: string; names: string[]; until?: string }[]
}

/** What each reason says, for people. */
const REASONS: Readonly<Record<string, string>> = {
  tag: 'a tag points at it',
  index: 'an index names it',
  subject: 'it refers to something that is kept',
  manifest: 'a manifest names it',
  pushed: 'it was pushed, or asked for by somebody who may push',
  unreferenced: 'nothing reaches it any more',
  untagged: 'it never had a tag',
  deleted: 'it was deleted, and can be restored',
  'repository-deleted': 'its repository was deleted, and can be restored',
}

async function explanation({ client, options: { repository, json } }: Call, digest: string): Promise<Answer> {
  const value = await client.request<{ items: Explanation[] }>(
    'GET',
    withQuery('/collector/explain', { digest, repository }),
  )
  if (value.items.length === 0 && json !== 'true')
    throw new CommandError(`nothing here has ${digest}`, EXIT.absent)
  const columns = [
    shown('reason', 'reason', (reason) => REASONS[String(reason)] ?? String(reason)),
    shown('which', 'names'),
    shown('until', 'until', asTime),
  ]
  return {
    value,
    lines: [
      shown('Digest', '', () => digest),
      shown('Found in', 'items', (items) => plural((items as []).length, 'place')),
    ],
    tables: value.items.map(({ kind, repository, collectableAt, reasons }) => ({
      title: `The ${kind} in ${repository} ${collectableAt === undefined ? 'stays' : `goes at ${collectableAt}`}`,
      items: reasons,
      columns,
    })),
  }
}
