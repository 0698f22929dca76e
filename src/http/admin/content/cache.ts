import { t } from 'elysia'
import { parseReference, parseRepositoryName, parseTag } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import {
  Bytes,
  Count,
  DigestText,
  DONE,
  Done,
  mapPage,
  PageQuery,
  pageOf,
  RepositoryText,
  Time,
} from '../schemas.ts'

const CacheModel = t.Object(
  {
    bytes: Bytes,
    blobs: Count,
    manifests: Count,
    bytesMax: Bytes,
    fills: Count,
  },
  { description: 'Cached content that can be evicted. A bytesMax of 0 means no limit' },
)

const TagModel = t.Object({
  repository: RepositoryText,
  tag: t.String({ example: '3' }),
  digest: DigestText,
  checkedAt: Time,
  isFresh: t.Boolean({ description: 'Whether it is served without asking the upstream' }),
})

const FillModel = t.Object({
  digest: DigestText,
  repository: RepositoryText,
  size: Bytes,
  received: Bytes,
})

const ExplanationModel = t.Object(
  {
    state: t.UnionEnum(['fresh', 'stale', 'cached', 'pushed', 'absent'], { default: undefined }),
    explanation: t.String({
      example: 'docker.io/library/alpine:3 is cached, and was last checked with docker.io ...',
    }),
  },
  { description: 'Why it is cached, stale or absent' },
)

const Moved = t.Object({ digest: DigestText }, { description: 'The manifest that the tag points at now' })

const repository = t.String({ maxLength: 255, example: 'docker.io/library/alpine' })
const reference = t.String({ maxLength: 135, description: 'A tag or a digest', example: '3' })
const Named = t.Object({ repository, reference })

const OPERATIONS = {
  get: operation({
    id: 'getCache',
    summary: 'Show how much is cached',
    access: 'admin',
    answer: CacheModel,
  }),
  tags: operation({
    id: 'listCachedTags',
    summary: 'List cached tags',
    access: 'admin',
    answer: pageOf(TagModel, 'Tags, ordered by repository'),
  }),
  fills: operation({
    id: 'listFills',
    summary: 'List the blob downloads in progress',
    access: 'admin',
    answer: pageOf(FillModel, 'Blobs; never more than one page'),
  }),
  refresh: operation({
    id: 'refreshCachedTag',
    summary: 'Check a cached tag with its upstream now',
    access: 'admin',
    answer: Moved,
    errors: ['NOT_FOUND', 'MANIFEST_UNKNOWN', 'MANIFEST_INVALID', 'NAME_INVALID', 'DENIED', 'UNAVAILABLE'],
  }),
  evict: operation({
    id: 'evictCached',
    summary: 'Evict a cached tag, or a manifest with its tags',
    access: 'admin',
    answer: Done,
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
  explain: operation({
    id: 'explainCached',
    summary: 'Explain why a tag or manifest is cached, stale or absent',
    access: 'admin',
    answer: ExplanationModel,
    errors: ['NOT_FOUND', 'NAME_INVALID', 'MANIFEST_INVALID', 'DIGEST_INVALID'],
  }),
}

/** GET /api/v1/cache, /cache/tags, /cache/fills, /cache/explain; POST /api/v1/cache/refresh, /cache/evict */
export function cache(context: AdminContext) {
  const { cache } = context.content
  return controller(context, 'cache', '/cache')
    .get('', () => cache.show(), OPERATIONS.get)
    .get('/tags', async ({ query }) => mapPage(await cache.tags(query), present), {
      query: PageQuery,
      ...OPERATIONS.tags,
    })
    .get('/fills', () => ({ items: cache.fills() }), OPERATIONS.fills)
    .get(
      '/explain',
      ({ query }) => cache.explain(parseRepositoryName(query.repository), parseReference(query.reference)),
      { query: Named, ...OPERATIONS.explain },
    )
    .post('/refresh', ({ body }) => cache.refresh(parseRepositoryName(body.repository), parseTag(body.tag)), {
      body: t.Object({ repository, tag: t.String({ maxLength: 128, example: '3' }) }),
      ...OPERATIONS.refresh,
    })
    .post(
      '/evict',
      async ({ principal, body }) => {
        await cache.evict(
          principal.act(),
          parseRepositoryName(body.repository),
          parseReference(body.reference),
        )
        return DONE
      },
      { body: Named, ...OPERATIONS.evict },
    )
}
