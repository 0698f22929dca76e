import type { Item } from '../../http/admin/answers.ts'
import { CommandError, EXIT } from '../failure.ts'
import { type AdminClient, apiPath } from '../remote/admin-client.ts'
import type { Card } from './answer.ts'
import { readEvents } from './event-stream.ts'
import { type Field, field, formatBytes, formatCount, formatText } from './format.ts'
import type { Terminal } from './terminal.ts'

export type Job = Item<'jobs'>

/** The shortest time between two lines of progress. */
const LINE_MILLISECONDS_MIN = 1000

const BAR_WIDTH = 30

/**
 * Shows the progress of a job until it ends: as a bar on a terminal, otherwise as lines. Ctrl-C ends the command, but not
 * a job that a server runs.
 *
 * @throws CommandError if the job fails or is cancelled, and after Ctrl-C
 */
export async function followJob(
  client: AdminClient,
  terminal: Terminal,
  { id }: Pick<Job, 'id'>,
): Promise<Card> {
  const interrupt = new AbortController()
  const onInterrupt = () => interrupt.abort()
  process.once('SIGINT', onInterrupt)
  const progress = progressOf(terminal)
  try {
    const job = await watch(client, id, interrupt.signal, progress)
    if (job.state !== 'done') throw new CommandError(`job ${id} ${endOf(job)}`)
    return jobCard(job)
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
    if (client.isEmbedded) throw new CommandError(`job ${id} ended with this command`, EXIT.interrupted)
    const how = `follow it with cay job watch ${id}, or cancel it with cay job cancel ${id}`
    throw new CommandError(`the job continues: ${how}`, EXIT.interrupted)
  } finally {
    process.off('SIGINT', onInterrupt)
    if (terminal.hasBar) terminal.status('')
  }
}

/** Returns the card of a job, with what the job counted. */
export function jobCard(job: Job): Card {
  const counts = Object.keys(job.result ?? {}).map((name) => {
    const label = name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    return field(label, `result.${name}`, /bytes$/i.test(name) ? formatBytes : formatCount)
  })
  return { value: job, lines: [...JOB_LINES, ...counts] }
}

const JOB_LINES: readonly Field[] = [
  field('Id', 'id'),
  field('Kind', 'kind'),
  field('State', 'state'),
  field('Progress', 'progress', asProgress),
  field('Started by', 'startedBy'),
  field('Started', 'startedAt', 'local time'),
  field('Ended', 'endedAt', 'local time'),
  field('Error', 'error'),
]

/** Formats progress: `12 of 40`, or `12` if the total is unknown. */
export function asProgress(value: unknown): string {
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

function endOf({ state, error }: Job): string {
  return state === 'cancelled'
    ? 'was cancelled'
    : `failed: ${formatText(error ?? 'see the log of the server')}`
}

function progressOf(terminal: Terminal): (job: Job) => void {
  if (terminal.hasBar) return (job) => terminal.status(barOf(job))
  let shownAt = Number.NEGATIVE_INFINITY
  return (job) => {
    const now = terminal.now()
    if (now - shownAt < LINE_MILLISECONDS_MIN) return
    shownAt = now
    terminal.note(`${job.kind}: ${job.state}, ${asProgress(job.progress)}`)
  }
}

function barOf({ kind, progress }: Job): string {
  const { done, total } = progress
  if (total === undefined || total === 0) return `${kind} ${formatCount(done)}`
  const share = Math.min(1, done / total)
  const full = Math.round(share * BAR_WIDTH)
  const bar = '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full)
  return `${kind} ${bar} ${Math.floor(share * 100)}% ${asProgress(progress)}`
}
