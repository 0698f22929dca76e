import { tryParseDigest } from '../../oci/digest.ts'
import { MEDIA_TYPE } from '../../oci/media-type.ts'
import type { Exchange } from './exchange.ts'
import { warningOf } from './warning.ts'

/** end-12: returns an index of the manifests with this subject. */
export async function listReferrers({
  registry,
  repository,
  path,
  query,
}: Exchange<'referrers'>): Promise<Response> {
  const artifactType = query.get('artifactType') || undefined
  const last = tryParseDigest(query.get('last') ?? '')
  const {
    items,
    more,
    next: cursor,
    warning,
  } = await registry.referrers.list(repository, path.digest, { artifactType, last })
  const headers: Record<string, string> = { 'content-type': MEDIA_TYPE.ociIndex, ...warningOf(warning) }
  if (artifactType !== undefined) headers['oci-filters-applied'] = 'artifactType'
  const end = cursor ?? items.at(-1)?.digest
  if (more && end !== undefined) {
    const next = new URLSearchParams(artifactType === undefined ? {} : { artifactType })
    next.set('last', end)
    headers.link = `</v2/${path.name}/referrers/${path.digest}?${next}>; rel="next"`
  }
  const index = { schemaVersion: 2, mediaType: MEDIA_TYPE.ociIndex, manifests: items }
  return new Response(JSON.stringify(index), { headers })
}
