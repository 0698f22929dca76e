import { ArrowRight, RotateCcw } from 'lucide-preact'
import { Empty } from '../../parts/states.tsx'
import { DigestText, Time } from '../../parts/tables/values.tsx'
import { Timeline } from '../../parts/timeline.tsx'
import { attempt } from '../../parts/toast.tsx'
import { manifestPath } from '../../routes.ts'
import type { Item } from '../../server/api.ts'
import { useList } from '../../server/resource.ts'
import { restoreTags } from '../../server/tag-acts.ts'
import { formatTime, visible } from '../../values/format.ts'

const LINES_AT_FIRST = 40

type Move = Item<'repositories/:repository/history'>

/** The history of a repository's tags as a timeline. Each line can be put back. */
export function RepositoryHistory({ name, mayRestore }: { name: string; mayRestore: boolean }) {
  const pages = useList(
    'repositories/:repository/history',
    { params: { repository: name } },
    { firstEntries: LINES_AT_FIRST },
  )
  return (
    <Timeline
      pages={pages}
      keyOf={({ at, tag }, index) => `${at} ${tag} ${index}`}
      isGone={({ digest }) => digest === undefined}
      line={(move) => <MoveLine repository={name} move={move} mayRestore={mayRestore} />}
      empty={<Empty title="No tag has moved yet" />}
    />
  )
}

function MoveLine({ repository, move, mayRestore }: { repository: string; move: Move; mayRestore: boolean }) {
  const { at, tag, digest, previousDigest: previous, restorable, account } = move
  const putBack = () =>
    attempt(
      () => restoreTags(repository, [{ name: tag, digest: previous ?? '' }]),
      `${tag} points at what it pointed at before ${formatTime(at)}`,
      digest === undefined ? undefined : () => restoreTags(repository, [{ name: tag, digest }]),
    )
  return (
    <>
      <span class="move">
        <b>{digest === undefined ? tag : <a href={manifestPath(repository, tag)}>{tag}</a>}</b>{' '}
        {wordsOf(move)}
        {previous !== undefined && digest !== undefined && (
          <span class="from-to">
            <DigestText of={previous} /> <ArrowRight aria-label="to" /> <DigestText of={digest} />
          </span>
        )}
        {(previous === undefined) !== (digest === undefined) && <DigestText of={previous ?? digest ?? ''} />}
      </span>
      <small class="muted">
        <Time at={at} />
        {account !== undefined && ` by ${visible(account)}`}
      </small>
      {mayRestore && restorable && (
        <button type="button" onClick={putBack} aria-label={`Put it back: ${tag} to ${previous}`}>
          <RotateCcw aria-hidden /> Put it back
        </button>
      )}
    </>
  )
}

function wordsOf({ digest, previousDigest: previous }: Move): string {
  if (digest === undefined) return 'was deleted'
  return previous === undefined ? 'was created' : 'moved'
}
