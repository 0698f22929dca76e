import { EventSourceParserStream, ParseError } from 'eventsource-parser/stream'
import type { Card } from '../cli/answer.ts'
import { type AdminClient, apiPath } from '../cli/client.ts'
import { CommandError, EXIT, usageError } from '../cli/failure.ts'
import {
  columns,
  field,
  formatBytes,
  formatCount,
  formatText,
  lines,
  openProgress,
  type Terminal,
} from '../cli/output.ts'
import { type Call, change, lists, type Noun } from '../cli/verb.ts'
import type { ItemOf } from '../http/operation.ts'
import { STARTABLE_KINDS } from './kinds.ts'
import type { JobsRoutes } from './models.ts'

/** `cay job` */
export const jobs: Noun = {
  summary: 'Manage long-running jobs',
  verbs: {
    list: lists(
      'List running jobs and those that ended recently',
      '/jobs',
      'There are no jobs.',
      columns('id, kind, state, progress | progress, startedAt, by: startedBy', { progress: asProgress }),
    ),
    show: {
      usage: '<job>',
      summary: 'Show a job',
      run: async ({ client, args: [id = ''] }) =>
        jobCard(await client.request<Job>('GET', apiPath('jobs', id))),
    },
    start: {
      usage: '<kind>',
      summary:
        'Start a job and show its progress: gc (delete garbage), scan (compare files and database), scrub (verify all content), retain (expire tags), or backup (to backup.folder)',
      options: [
        ['--detach', 'return at once, without showing progress'],
        ['--remove-many', 'allow a scan to delete more than a tenth of the files'],
      ],
      isDestructive: true,
      run: async (call) => {
        const [kind = ''] = call.args
        if (!STARTABLE_KINDS.some((known) => known === kind))
          throw usageError(
            `unknown kind of job "${kind}": expected ${new Intl.ListFormat('en', { type: 'disjunction' }).format(STARTABLE_KINDS)}`,
          )
        if (kind !== 'backup' && kind !== 'scrub')
          await call.confirm(consequenceOf(kind, call.options.removeMany === 'true'))
        return startJob(call, kind)
      },
    },
    watch: {
      usage: '<job>',
      summary: 'Follow the progress of a job until it ends',
      run: ({ client, args: [id = ''], terminal }) => followJob(client, terminal, { id }),
    },
    cancel: {
      usage: '<job>',
      summary: 'Cancel a job, without undoing what it has already done',
      isDestructive: true,
      run: async ({ client, args: [id = ''], confirm }) => {
        const { kind, state, progress } = await client.request<Job>('GET', apiPath('jobs', id))
        await confirm(`cancels job ${id} (${kind}, ${state}, ${asProgress(progress)})`)
        return change(client, `canceling job ${id}`, 'POST', `${apiPath('jobs', id)}/cancel`)
      },
    },
  },
}

/** Completes "This ..." for a kind of job. */
function consequenceOf(kind: string, isRemovingMany: boolean): string {
  if (kind === 'gc') return 'permanently deletes all garbage; list it with cay gc --dry-run'
  if (kind === 'retain') return 'expires tags; list them with cay retention test --expiring'
  return `deletes the files that the database does not know${isRemovingMany ? ', however many there are' : ''}`
}

/** Starts a job, and follows its progress unless --detach is given. */
export async function startJob({ client, terminal, options }: Call, kind: string) {
  const isDetached = options.detach === 'true'
  if (isDetached && client.isEmbedded)
    throw usageError('--detach needs a running server, which continues the job: start cay serve')
  const job = await client.request<Job>('POST', '/jobs', {
    kind,
    ...(options.removeMany === 'true' && { removeMany: true }),
  })
  if (isDetached) return { value: job, line: `started job ${job.id}` }
  return followJob(client, terminal, job)
}

type Job = ItemOf<JobsRoutes, 'jobs'>

const BAR_WIDTH = 30

/**
 * Shows the progress of a job until it ends: as a bar on a terminal, otherwise as lines. Ctrl-C ends the command, but not
 * a job that a server runs.
 *
 * @throws CommandError if the job fails or is cancelled, and after Ctrl-C
 */
async function followJob(client: AdminClient, terminal: Terminal, { id }: Pick<Job, 'id'>): Promise<Card> {
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  const lineOf = (job: Job) =>
    terminal.hasBar ? barOf(job) : `${job.kind}: ${job.state}, ${asProgress(job.progress)}`
  const { progress, end } = openProgress(terminal, lineOf, Number.NEGATIVE_INFINITY)
  try {
    const job = await watch(client, id, interrupt.signal, progress)
    if (job.state === 'done') return jobCard(job)
    if (job.state === 'cancelled') throw new CommandError(`job ${id} was cancelled`)
    throw new CommandError(`job ${id} failed: ${formatText(job.error ?? 'see the log of the server')}`)
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
    if (client.isEmbedded) throw new CommandError(`job ${id} ended with this command`, EXIT.interrupted)
    const how = `follow it with cay job watch ${id}, or cancel it with cay job cancel ${id}`
    throw new CommandError(`the job continues: ${how}`, EXIT.interrupted)
  } finally {
    process.off('SIGINT', onInterrupt)
    end()
  }
}

/** Returns the card of a job, with what the job counted. */
function jobCard(job: Job): Card {
  const counts = Object.keys(job.result ?? {}).map((name) => {
    const label = name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    return field(label, `result.${name}`, /bytes$/i.test(name) ? formatBytes : formatCount)
  })
  return { value: job, lines: [...JOB_LINES, ...counts] }
}

const JOB_LINES = lines('id, kind, state, progress | progress, startedBy, startedAt, endedAt, error', {
  progress: asProgress,
})

/** Formats progress: `12 of 40`, or `12` if the total is unknown. */
function asProgress(value: unknown): string {
  const { done, total } = value as Job['progress']
  return total === undefined ? formatCount(done) : `${formatCount(done)} of ${formatCount(total)}`
}

async function watch(
  client: AdminClient,
  id: string,
  signal: AbortSignal,
  show: (job: Job) => void,
): Promise<Job> {
  const response = await client.send('GET', `${apiPath('jobs', id)}/events`, undefined, { signal })
  for await (const data of readEvents(response.body ?? new ReadableStream())) {
    const job = JSON.parse(data) as Job
    show(job)
    if (job.endedAt !== undefined) return job
  }
  throw new CommandError(`lost the connection to the server before job ${id} ended`, EXIT.unreachable)
}

function barOf({ kind, progress }: Job): string {
  const { done, total } = progress
  if (total === undefined || total === 0) return `${kind} ${formatCount(done)}`
  const share = Math.min(1, done / total)
  const full = Math.round(share * BAR_WIDTH)
  const bar = '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full)
  return `${kind} ${bar} ${Math.floor(share * 100)}% ${asProgress(progress)}`
}

/** The most characters of one event. */
const EVENT_CHARACTERS_MAX = 1024 * 1024

/** Yields the data of each server-sent event as it arrives. Throws a CommandError for an event without an end. */
export async function* readEvents(stream: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const text = stream.pipeThrough(new TextDecoderStream() as TransformStream<Uint8Array, string>)
  try {
    for await (const { data } of text.pipeThrough(
      new EventSourceParserStream({ maxBufferSize: EVENT_CHARACTERS_MAX }),
    ))
      yield data
  } catch (cause) {
    if (!(cause instanceof ParseError)) throw cause
    throw new CommandError('the server sent an event that is too long', EXIT.failed, { cause })
  }
}
