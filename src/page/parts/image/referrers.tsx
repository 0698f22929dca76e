import { manifestPath } from '../../routes.ts'
import { useAnswer } from '../../server/resource.ts'
import { visible } from '../../values/format.ts'
import { Card } from '../card.tsx'
import { Bytes, DigestText } from '../tables/values.tsx'
import { Kind } from './kind.tsx'

/** A referrer with its own referrers, as deep as the API nests them. */
interface Referrer {
  digest: string
  mediaType: string
  bytes: number
  kind?: string
  artifactType?: string
  tag?: string
  referrers?: Referrer[]
}

/** What refers to a manifest, as a tree: signatures, SBOMs, attestations. */
export function Referrers({ repository, digest }: { repository: string; digest: string }) {
  const found = useAnswer('repositories/:repository/manifests/:reference/referrers', {
    params: { repository, reference: digest },
  })
  // The API nests referrers to a fixed depth, which its type does not express.
  const referrers = (found.data?.referrers ?? []) as Referrer[]
  if (referrers.length === 0) return null
  return (
    <Card title="Signatures, SBOMs and other referrers">
      <Tree repository={repository} referrers={referrers} />
      {found.data?.truncated && <p class="muted">There are more than are shown.</p>}
    </Card>
  )
}

function Tree({ repository, referrers }: { repository: string; referrers: Referrer[] }) {
  return (
    <ul class="tree">
      {referrers.map(({ digest, kind, artifactType, mediaType, bytes, tag, referrers: below = [] }) => (
        <li key={digest}>
          <div class="tree-line">
            <a href={manifestPath(repository, digest)}>
              <Kind of={kind ?? visible(artifactType ?? mediaType)} />
            </a>
            {tag !== undefined && <span class="chip">{tag}</span>}
            <DigestText of={digest} />
            <small>
              <Bytes of={bytes} />
            </small>
          </div>
          {below.length > 0 && <Tree repository={repository} referrers={below} />}
        </li>
      ))}
    </ul>
  )
}
