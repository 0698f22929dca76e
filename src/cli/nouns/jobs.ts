import { STARTABLE_KINDS } from '../../core/jobs/job-kinds.ts'
import { CommandError, EXIT } from '../failure.ts'
import { field } from '../output/format.ts'
import { asProgress, followJob, type Job, jobCard } from '../output/job-progress.ts'
import { apiPath } from '../remote/admin-client.ts'
import { change, lists } from '../remote/requests.ts'
import type { Call, Noun } from '../verb.ts'

/** `cay job` */
export const jobs: Noun = {
  summary: 'Manage long-running jobs',
  verbs: {
    list: lists('List running jobs and those that ended recently', '/jobs', 'There are no jobs.', [
      field('id', 'id'),
      field('kind', 'kind'),
      field('state', 'state'),
      field('progress', 'progress', asProgress),
      field('started', 'startedAt', 'time'),
      field('by', 'startedBy'),
    ]),
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
          throw new CommandError(
            `unknown kind of job "${kind}": expected ${new Intl.ListFormat('en', { type: 'disjunction' }).format(STARTABLE_KINDS)}`,
            EXIT.usage,
          )
        if (kind === 'backup' || kind === 'scrub') return startJob(call, kind)
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
  if (isDetached && client.isEmbedded) {
    throw new CommandError(
      '--detach needs a running server, which continues the job: start cay serve',
      EXIT.usage,
    )
  }
  const job = await client.request<Job>('POST', '/jobs', {
    kind,
    ...(options.removeMany === 'true' && { removeMany: true }),
  })
  if (isDetached) return { value: job, line: `started job ${job.id}` }
  return followJob(client, terminal, job)
}
