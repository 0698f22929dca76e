import type { Answer } from '../server/api.ts'
import { useAnswer } from '../server/resource.ts'
import { shortDigest, visible } from '../values/format.ts'
import { Card } from './card.tsx'
import { Time } from './tables/values.tsx'

type Explanation = Answer<'gc/explain'>['items'][number]
type Reason = Explanation['reasons'][number]

const words: Record<Reason['reason'], string> = {
  tag: 'A tag points at it',
  index: 'An index refers to it',
  subject: 'It refers to a manifest that is kept',
  manifest: 'A manifest refers to it',
  pushed: 'It was pushed a short time ago',
  unreferenced: 'Nothing refers to it any more',
  untagged: 'It has never been tagged',
  deleted: 'It was deleted, and can still be restored',
  'repository-deleted': 'Its repository was deleted, and can still be restored',
}

/** Says why a manifest is kept, and until when. */
export function Kept({ repository, digest }: { repository: string; digest: string }) {
  const found = useAnswer('gc/explain', { query: { repository, digest } })
  const [explanation] = found.data?.items ?? []
  if (explanation === undefined) return null
  const { reasons, collectableAt } = explanation
  return (
    <Card title="Why it is kept">
      <ul class="lines">
        {reasons.map(({ reason, referencedBy, until }) => (
          <li key={reason}>
            {words[reason]}
            {referencedBy.length > 0 &&
              `: ${referencedBy.map((name) => (name.includes(':') ? shortDigest(name) : visible(name))).join(', ')}`}
            {until !== undefined && (
              <>
                {' '}
                (until <Time at={until} />)
              </>
            )}
          </li>
        ))}
      </ul>
      <p class="muted">
        {collectableAt === undefined ? (
          'The garbage collector keeps it.'
        ) : (
          <>
            The garbage collector deletes it <Time at={collectableAt} />.
          </>
        )}
      </p>
    </Card>
  )
}
