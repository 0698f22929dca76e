import { change, type Item } from '../server/api.ts'
import { formatBytes, formatCount, visible } from '../values/format.ts'
import { Time } from './tables/values.tsx'
import { attempt } from './toast.tsx'

export type Job = Item<'jobs'>

/** The kinds of jobs in words. */
export const jobNames: Record<Job['kind'], string> = {
  gc: 'Garbage collection',
  retain: 'Retention',
  scan: 'Scan for lost files',
  scrub: 'Verification of stored content',
  backup: 'Backup',
  index: 'Index of files',
}

const stateClasses: Record<Job['state'], string> = {
  waiting: 'chip',
  running: 'chip good',
  done: 'chip',
  failed: 'chip bad',
  cancelled: 'chip warning',
}

/** A job with its progress or result. */
export function JobLine({ job }: { job: Job }) {
  const { id, kind, state, progress, startedAt, endedAt, startedBy, error, result = {} } = job
  const { done, total } = progress
  const isActive = state === 'running' || state === 'waiting'
  return (
    <div class="job">
      <div class="between">
        <span>
          <b>{jobNames[kind]}</b> <span class={stateClasses[state]}>{state}</span>
        </span>
        <small>
          <Time at={endedAt ?? startedAt} /> by {visible(startedBy)}
        </small>
      </div>
      {isActive && (
        <div class="between">
          <progress
            aria-label={`Progress of ${jobNames[kind]}`}
            {...(total !== undefined && { max: Math.max(total, 1), value: done })}
          />
          <button
            type="button"
            onClick={() =>
              attempt(
                () => change('post', 'jobs/:id/cancel', { params: { id } }),
                'The job is being cancelled',
              )
            }
          >
            Cancel
          </button>
        </div>
      )}
      {error !== undefined && <p class="form-error">{visible(error)}</p>}
      {state === 'done' && <small>{resultOf(result as Record<string, number>)}</small>}
    </div>
  )
}

function resultOf(result: Record<string, number>): string {
  const shown = Object.entries(result).filter(([, count]) => count > 0)
  if (shown.length === 0) return 'Nothing to do'
  return shown
    .map(([name, count]) =>
      /bytes/i.test(name)
        ? formatBytes(count)
        : `${formatCount(count)} ${count === 1 ? singular(wordsOf(name)) : wordsOf(name)}`,
    )
    .join(', ')
}

/** Turns `orphanFiles` into `orphan files`. */
function wordsOf(name: string): string {
  return name.replace(/Count$/, 's').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)
}

/** Turns `repositories` into `repository`. */
function singular(words: string): string {
  return words.replace(/ies$/, 'y').replace(/s$/, '')
}
