import { repositoryPath } from '../routes.ts'
import { useAnswer } from '../server/resource.ts'
import { type RetentionRun, runsOf } from '../server/retention-runs.ts'
import { deleteAgain, restoreTags } from '../server/tag-acts.ts'
import { countOf, formatTime, shortDigest } from '../values/format.ts'
import { Empty, Shown } from './states.tsx'
import { Time } from './tables/values.tsx'
import { attempt } from './toast.tsx'

/** How many of the latest deletions are shown, and how many of one run by name. */
const EVENTS_MAX = 500
const NAMED_MAX = 20

/** What each run of the retention policies has deleted. It can be undone. */
export function RetentionRuns() {
  const found = useAnswer('events', { query: { type: 'retention.expire', limit: EVENTS_MAX } })
  return (
    <Shown of={found}>
      {({ items }) =>
        items.length === 0 ? (
          <Empty title="The policies have deleted nothing yet" />
        ) : (
          <ul class="card rows">
            {runsOf(items).map((run) => (
              <Run key={run.at} run={run} />
            ))}
          </ul>
        )
      }
    </Shown>
  )
}

function Run({ run: { at, events } }: { run: RetentionRun }) {
  const tags = events.flatMap(({ repository, tag, digest }) =>
    tag === undefined || digest === undefined ? [] : [{ repository, name: tag, digest }],
  )
  const manifests = events.filter(({ tag }) => tag === undefined)
  const repositories = new Map(tags.map(({ repository }) => [repository, [] as typeof tags]))
  for (const tag of tags) repositories.get(tag.repository)?.push(tag)
  const inEach = (act: typeof restoreTags) => async () => {
    for (const [repository, own] of repositories) await act(repository, own)
  }
  const what = [
    tags.length > 0 && countOf(tags.length, 'tag'),
    manifests.length > 0 && countOf(manifests.length, 'untagged manifest'),
  ]
  return (
    <li class="between">
      <details>
        <summary>
          <b>{what.filter(Boolean).join(' and ')}</b>
          {repositories.size > 0 && ` of ${countOf(repositories.size, 'repository', 'repositories')}`}{' '}
          <small>
            <Time at={at} />
          </small>
        </summary>
        <ul class="chips">
          {events.slice(0, NAMED_MAX).map(({ id, repository, tag, digest }) => (
            <li key={id}>
              <a class="chip" href={repositoryPath(repository, 'history')}>
                {repository}
                {tag === undefined ? `@${shortDigest(digest ?? '')}` : `:${tag}`}
              </a>
            </li>
          ))}
          {events.length > NAMED_MAX && <li>and {countOf(events.length - NAMED_MAX, 'other')}</li>}
        </ul>
      </details>
      {tags.length > 0 && (
        <button
          type="button"
          aria-label={`Undo the run of ${formatTime(at)}`}
          onClick={() =>
            attempt(inEach(restoreTags), `${countOf(tags.length, 'tag')} restored`, inEach(deleteAgain))
          }
        >
          Undo
        </button>
      )}
    </li>
  )
}
