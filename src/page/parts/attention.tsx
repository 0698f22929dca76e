import { manifestPath, repositoryPath } from '../routes.ts'
import { useAnswer } from '../server/resource.ts'
import { countOf, shortDigest } from '../values/format.ts'
import { Card } from './card.tsx'
import { levelOf } from './charts/meter.tsx'
import { Failure } from './states.tsx'

const LINES_MAX = 5

/** What an admin should look at: damaged content, if there is any, and quotas that are almost or completely used. */
export function Attention({ damagedCount }: { damagedCount: number }) {
  const damage = useAnswer('damage', damagedCount > 0 && {})
  const quotas = useAnswer('quotas')
  const damaged = damage.data?.items ?? []
  const full = (quotas.data?.items ?? []).filter(({ usedPercent = 0 }) => levelOf(usedPercent) !== 'good')
  const error = damage.error ?? quotas.error
  if (error) return <Failure error={error} retry={damage.error ? damage.reload : quotas.reload} />
  if (damaged.length + full.length === 0) return null
  return (
    <Card title="Needs attention">
      {damaged.length > 0 && (
        <>
          <p>
            {countOf(damaged.length, 'blob or manifest', 'blobs and manifests')}{' '}
            {damaged.length === 1 ? 'is' : 'are'} damaged and cannot be pulled until pushed again:
          </p>
          <ul class="lines">
            {damaged.slice(0, LINES_MAX).map(({ digest, kind, neededBy: [first, ...others] }) => (
              <li key={digest}>
                {kind} <code title={digest}>{shortDigest(digest)}</code>
                {first && ' of '}
                {first && <NeededBy of={first} />}
                {others.length > 0 && ` and ${others.length} more`}
              </li>
            ))}
            {damaged.length > LINES_MAX && (
              <li>
                <a href="/maintenance/damage">{damaged.length - LINES_MAX} more</a>
              </li>
            )}
          </ul>
        </>
      )}
      {full.length > 0 && (
        <ul class="lines">
          {full.slice(0, LINES_MAX).map(({ namespace, usedPercent: percent = 0 }) => (
            <li key={namespace} class="between">
              <a href="/maintenance/quotas">Quota of {namespace}</a>
              <span class={`chip ${levelOf(percent)}`}>{percent} % used</span>
            </li>
          ))}
          {full.length > LINES_MAX && <li>{full.length - LINES_MAX} more</li>}
        </ul>
      )}
    </Card>
  )
}

/** What needs content: a tag, or a repository. */
export function NeededBy({
  of: { repository, tag },
}: {
  of: { repository: string; tag?: string | undefined }
}) {
  if (tag === undefined) return <a href={repositoryPath(repository)}>{repository}</a>
  return <a href={manifestPath(repository, tag)}>{`${repository}:${tag}`}</a>
}
