import { t } from 'elysia'
import type { CacheState, FillState } from '../../../core/content/cache/cache.ts'
import { parseReference, parseRepositoryName, parseTag } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import {
  Bytes,
  Count,
  count,
  DigestText,
  mapPage,
  oneOf,
  PageQuery,
  pageOf,
  RepositoryText,
  Time,
} from '../schemas.ts'

const CacheModel = t.Object(
  {
    bytes: count('Bytes of blobs, manifests and interrupted downloads'),
    manifestBytes: count('Bytes of manifests, counted in each repository that has them'),
    partialBytes: count('Bytes of interrupted downloads, which the next pull resumes'),
    bytesMax: t.Optional(count('The limit, in bytes; absent if there is none')),
    blobCount: Count,
    manifestCount: Count,
    downloadCount: count('Blobs that are being downloaded'),
    requestCount: count('Requests of clients for cached repositories since the server started'),
    hitCount: count('How many of these needed no download of their own'),
    hitBytes: count('Bytes of blobs that were served without a download since the server started'),
    downloadedBytes: count('Bytes of blobs that were downloaded from upstreams since the server started'),
  },
  { description: 'Cached content that can be evicted' },
)

const TagModel = t.Object({
  repository: RepositoryText,
  tag: t.String({ example: '3' }),
  digest: DigestText,
  checkedAt: Time,
  fresh: t.Boolean({ description: 'Whether it is served without asking the upstream' }),
})

const DownloadModel = t.Object({
  digest: DigestText,
  repository: RepositoryText,
  bytes: Bytes,
  receivedBytes: Bytes,
})

const ExplanationModel = t.Object(
  {
    state: oneOf(['fresh', 'stale', 'cached', 'pushed', 'absent']),
    explanation: t.String({
      example: 'docker.io/library/alpine:3 is cached, and was last checked with docker.io ...',
    }),
  },
  { description: 'Why it is cached, stale or absent' },
)

const Refreshed = t.Object({ digest: DigestText }, { description: 'The manifest that the tag points at now' })

const repository = t.String({ maxLength: 255, example: 'docker.io/library/alpine' })
const reference = t.String({ maxLength: 135, description: 'A tag or a digest', example: '3' })
const Named = t.Object({ repository, reference })

const OPERATIONS = {
  get: operation('getCache', 'admin', 'Show how much is cached', { answer: CacheModel }),
  tags: operation('listCachedTags', 'admin', 'List cached tags', {
    answer: pageOf(TagModel, 'Tags, ordered by repository'),
  }),
  downloads: operation('listCacheDownloads', 'admin', 'List the blob downloads in progress', {
    answer: pageOf(DownloadModel, 'Blobs; never more than one page'),
  }),
  refresh: operation('refreshCachedTag', 'admin', 'Check a cached tag with its upstream now', {
    answer: Refreshed,
    errors: ['NOT_FOUND', 'MANIFEST_UNKNOWN', 'MANIFEST_INVALID', 'NAME_INVALID', 'DENIED', 'UNAVAILABLE'],
  }),
  evict: operation('evictCachedContent', 'admin', 'Evict a cached tag, or a manifest with its tags', {
    description: 'The next pull fetches it again. Pushed content is never evicted.',
    errors: [
      'NOT_FOUND',
      'NAME_UNKNOWN',
      'NAME_INVALID',
      'MANIFEST_UNKNOWN',
      'MANIFEST_INVALID',
      'DIGEST_INVALID',
    ],
  }),
  explain: operation(
    'explainCachedContent',
    'admin',
    'Explain why a tag or manifest is cached, stale or absent',
    { answer: ExplanationModel, errors: ['NOT_FOUND', 'NAME_INVALID', 'MANIFEST_INVALID', 'DIGEST_INVALID'] },
  ),
}

/** GET /api/v1/cache, /cache/tags, /cache/downloads, /cache/explain; POST /api/v1/cache/refresh, /cache/evict */
export function cache(context: AdminContext) {
  const { cache } = context.content
  return controller(context, 'cache', '/cache')
    .get('', async () => toCache(await cache.show()), OPERATIONS.get)
    .get(
      '/tags',
      async ({ query }) =>
        mapPage(await cache.tags(query), ({ isFresh: fresh, ...tag }) => omitAbsent({ ...tag, fresh })),
      { query: PageQuery, ...OPERATIONS.tags },
    )
    .get('/downloads', () => ({ items: cache.fills().map(toDownload) }), OPERATIONS.downloads)
    .get(
      '/explain',
      ({ query }) => cache.explain(parseRepositoryName(query.repository), parseReference(query.reference)),
      { query: Named, ...OPERATIONS.explain },
    )
    .post(
      '/refresh',
      ({ principal, body }) =>
        cache.refresh(principal.act(), parseRepositoryName(body.repository), parseTag(body.tag)),
      {
        body: t.Object({ repository, tag: t.String({ maxLength: 128, example: '3' }) }),
        ...OPERATIONS.refresh,
      },
    )
    .post(
      '/evict',
      async ({ principal, body }) => {
        await cache.evict(
          principal.act(),
          parseRepositoryName(body.repository),
          parseReference(body.reference),
        )
      },
      { body: Named, ...OPERATIONS.evict },
    )
}

function toCache({
  bytes,
  manifestBytes,
  partialBytes,
  bytesMax: limit,
  blobs,
  manifests,
  fills,
  use,
}: CacheState) {
  const { requests: requestCount, hits: hitCount, hitBytes, downloadedBytes } = use
  return omitAbsent({
    bytes,
    manifestBytes,
    partialBytes,
    bytesMax: limit === 0 ? undefined : limit,
    blobCount: blobs,
    manifestCount: manifests,
    downloadCount: fills,
    requestCount,
    hitCount,
    hitBytes,
    downloadedBytes,
  })
}

function toDownload({ digest, repository, size: bytes, received: receivedBytes }: FillState) {
  return { digest, repository, bytes, receivedBytes }
}
