import { type Static, t } from 'elysia'
import { ManagedUpstreamSchema, UpstreamSecretsSchema } from '../config/schema.ts'
import { operation, type Route } from '../http/operation.ts'
import {
  Bytes,
  ConfiguredIn,
  Count,
  count,
  DigestText,
  oneOf,
  type PageQuery,
  Pattern,
  pageOf,
  RepositoryText,
  Time,
} from '../http/schemas.ts'

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

export const Named = t.Object({ repository, reference })

export const CACHE_OPERATIONS = {
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

const pinnedReference = t.Optional(
  t.String({
    maxLength: 135,
    description: 'A tag or a digest; absent for everything in the repositories',
    example: '3',
  }),
)

const PinModel = t.Object(
  { pattern: Pattern, reference: pinnedReference, createdAt: Time },
  { description: 'A pin' },
)

export const NamedPin = t.Object({ pattern: Pattern, reference: pinnedReference })

export const PIN_OPERATIONS = {
  list: operation('listPins', 'admin', 'List pins', {
    answer: pageOf(PinModel, 'Pins, by their patterns; never more than one page'),
  }),
  put: operation('putPin', 'admin', 'Keep cached content from being evicted', {
    answer: PinModel,
    creates: 'unless-it-exists',
    location: (pin) => `?${new URLSearchParams(pinOf(pin))}`,
    description: 'A pin also holds for content that is cached later. With an index its images are pinned.',
    errors: ['NAME_INVALID', 'MANIFEST_INVALID', 'DIGEST_INVALID', 'CONFLICT'],
  }),
  delete: operation('deletePin', 'admin', 'Remove a pin', {
    errors: ['NAME_INVALID', 'MANIFEST_INVALID', 'DIGEST_INVALID', 'NOT_FOUND'],
  }),
}

/** Returns the query that selects a pin. */
function pinOf({ pattern, reference: pinnedReference }: Static<typeof NamedPin>): Record<string, string> {
  return pinnedReference === undefined ? { pattern } : { pattern, reference: pinnedReference }
}

const CheckModel = t.Object(
  {
    reachable: t.Boolean({ description: 'Whether it responds and accepts the credentials' }),
    durationMilliseconds: Count,
    message: t.String({ example: 'docker.io answers' }),
  },
  { description: 'The result of the check' },
)

const UpstreamModel = t.Object(
  {
    name: t.String({ description: 'The first component of its repository names', example: 'docker.io' }),
    url: t.String({ example: 'https://registry-1.docker.io/' }),
    mirrors: t.Array(t.String(), { description: 'URLs to try next, in order' }),
    state: oneOf(
      ['up', 'down', 'offline'],
      'down: recent requests failed; offline: set to offline in the configuration',
    ),
    credentialsSet: t.Boolean({ description: 'Whether credentials are configured; they are never shown' }),
    pullsRemaining: t.Optional(
      count('Pulls remaining in the current rate limit, as reported by the upstream'),
    ),
    pullLimit: t.Optional(Count),
    configuredIn: ConfiguredIn,
    lastCheck: t.Optional(
      t.Object(
        { at: Time, ...CheckModel.properties },
        {
          description:
            'The latest check. Absent before the first one since the server started or its settings changed',
          example: {
            at: '2026-01-31T12:00:00.000Z',
            reachable: true,
            durationMilliseconds: 120,
            message: 'docker.io answers',
          },
        },
      ),
    ),
    settings: t.Optional(t.Partial(ManagedUpstreamSchema)),
  },
  { description: 'An upstream' },
)

/** Refuses unknown settings. With `additionalProperties: false`, Elysia would drop them silently. */
export const SettingsBody = t.Object(
  { ...t.Partial(ManagedUpstreamSchema).properties, ...UpstreamSecretsSchema },
  { additionalProperties: t.Never() },
)

export const UPSTREAM_OPERATIONS = {
  list: operation('listUpstreams', 'admin', 'List the upstream registries', {
    answer: pageOf(UpstreamModel, 'Upstreams in the order of the configuration; never more than one page'),
  }),
  get: operation('getUpstream', 'admin', 'Show an upstream', {
    answer: UpstreamModel,
    etag: 'partial',
    errors: ['NOT_FOUND'],
  }),
  put: operation('putUpstream', 'admin', 'Add an upstream, or replace its settings', {
    answer: UpstreamModel,
    creates: 'unless-it-exists',
    etag: true,
    description:
      'Takes effect immediately. Omitted settings have their defaults. The password or token is kept if it is ' +
      'left out and url, username, proxy and ca stay the same.',
    errors: ['CONFLICT', 'NAME_INVALID'],
  }),
  remove: operation('deleteUpstream', 'admin', 'Remove an upstream; its repositories stay', {
    etag: true,
    errors: ['CONFLICT', 'NOT_FOUND'],
  }),
  check: operation('checkUpstream', 'admin', 'Check whether an upstream can be reached', {
    answer: CheckModel,
    errors: ['NOT_FOUND'],
  }),
}

export const CacheRefreshBody = t.Object({ repository, tag: t.String({ maxLength: 128, example: '3' }) })

export const PinListQuery = t.Partial(NamedPin)

/** The routes below /api/v1, for the page and the commands. */
export type CacheRoutes = {
  'cache/evict': { post: Route<typeof CACHE_OPERATIONS.evict, { body: typeof Named }> }
  'cache/refresh': { post: Route<typeof CACHE_OPERATIONS.refresh, { body: typeof CacheRefreshBody }> }
  'cache/explain': { get: Route<typeof CACHE_OPERATIONS.explain, { query: typeof Named }> }
  'cache/downloads': { get: Route<typeof CACHE_OPERATIONS.downloads> }
  'cache/tags': { get: Route<typeof CACHE_OPERATIONS.tags, { query: typeof PageQuery }> }
  cache: { get: Route<typeof CACHE_OPERATIONS.get> }
  pins: {
    delete: Route<typeof PIN_OPERATIONS.delete, { query: typeof NamedPin }>
    put: Route<typeof PIN_OPERATIONS.put, { body: typeof NamedPin }>
    get: Route<typeof PIN_OPERATIONS.list, { query: typeof PinListQuery }>
  }
  'upstreams/:name/check': { post: Route<typeof UPSTREAM_OPERATIONS.check> }
  'upstreams/:name': {
    delete: Route<typeof UPSTREAM_OPERATIONS.remove>
    put: Route<typeof UPSTREAM_OPERATIONS.put, { body: typeof SettingsBody }>
    get: Route<typeof UPSTREAM_OPERATIONS.get>
  }
  upstreams: { get: Route<typeof UPSTREAM_OPERATIONS.list> }
}
