import { type AdminClient, apiPath } from '../admin-client.ts'
import { CommandError, EXIT } from '../failure.ts'
import type { Card } from './answer.ts'
import { readEvents } from './event-stream.ts'
import { asBytes, asCount, asMoment, asText, type Shown, shown } from './shown.ts'
import type { Terminal } from './terminal.ts'

/** A job as the API shows it. */
export interface Job {
  id: string
  kind: string
  state: string
  progress: { done: number; total?: number }
  result?: Record<string, number>
  error?: string
  endedAt?: string
}

/** Lines of progress are at least so far apart. */
const LINE_MILLISECONDS_MIN = 1000

const BAR_WIDTH = 30

/**
 * Shows the progress of a job until it has ended: a bar on a terminal, elsewhere lines. Ctrl-C ends the command and not
 * the job, where a server runs it.
 *
 * @throws CommandError when the job failed or was cancelled, or is left to itself
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
    if (job.state !== 'done') throw new CommandError(`the job ${id} ${endOf(job)}`)
    return jobCard(job)
  } catch (error) {
    if (!interrupt.signal.aborted) throw error
    if (client.isAlone) throw new CommandError(`the job ${id} ended with this command`, EXIT.interrupted)
    const how = `cay job watch ${id} shows its progress, cay job cancel ${id} ends it`
    throw new CommandError(`the job goes on: ${how}`, EXIT.interrupted)
  } finally {
    process.off('SIGINT', onInterrupt)
    if (terminal.hasBar) terminal.status('')
  }
}

/** A job for people, with what it has counted. */
export function jobCard(job: Job): Card {
  const counts = Object.keys(job.result ?? {}).map((name) => {
    const label = name.replaceAll(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
    return shown(label, `result.${name}`, /bytes$/i.test(name) ? asBytes : asCount)
  })
  return { value: job, lines: [...JOB_LINES, ...counts] }
}

const JOB_LINES: readonly Shown[] = [
  shown('Id', 'id'),
  shown('Kind', 'kind'),
  shown('State', 'state'),
  shown('Progress', 'progress', asProgress),
  shown('Started by', 'startedBy'),
  shown('Started', 'startedAt', asMoment),
  shown('Ended', 'endedAt', asMoment),
  shown('Error', 'error'),
]

/** `12 of 40`, or how many so far. */
export function asProgress(value: unknown): string {
  const { done, total } = value as Job['progress']
  return total === undefined ? asCount(done) : `${asCount(done)} of ${asCount(total)}`
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
  throw new CommandError(`the server ended before the job ${id} did`, EXIT.unreachable)
}

function endOf({ state, error }: Job): string {
  return state === 'cancelled'
    ? 'was cancelled'
    : `failed: ${asText(error ?? 'the log of the server says why')}`
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
  if (total === undefined || total === 0) return `${kind} ${asCount(done)}`
  const share = Math.min(1, done / total)
  const full = Math.round(share * BAR_WIDTH)
  const bar = '█'.repeat(full) + '░'.repeat(BAR_WIDTH - full)
  return `${kind} ${bar} ${Math.floor(share * 100)}% ${asProgress(progress)}`
}
