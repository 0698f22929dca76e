import { type TSchema, t } from 'elysia'
import { Moves } from '../history/models.ts'
import { operation, type RoutesOf } from '../http/operation.ts'
import {
  Bytes,
  Count,
  count,
  DIGEST_EXAMPLE,
  DigestParam,
  DigestText,
  integer,
  oneOf,
  PageQuery,
  pageOf,
  pageParameters,
  RepositoryParam,
  RepositoryText,
  Time,
  time,
} from '../http/schemas.ts'
import { parseDigest, parseReference, parseTag } from '../oci/reference.ts'
import { REFERRERS_DEPTH_MAX } from './limits.ts'

const days = {
  minimum: 0,
  maximum: 36_500,
  description:
    "Days until a manifest that was never tagged is deleted; 0: never; absent: the server's setting applies",
}

const settings = {
  description: t.String({ maxLength: 4096, description: 'Free text', example: 'The base images of team A' }),
  immutableTags: t.Array(t.String({ maxLength: 128, example: 'v*' }), {
    maxItems: 100,
    description:
      'Patterns of the tags that can be created, but not moved or deleted; `*` matches all, and an empty list none',
  }),
}

/** Changes to a repository's settings; null restores the server's setting. */
const RepositorySettings = t.Object({
  description: t.Optional(settings.description),
  untaggedDays: t.Optional(t.Union([t.Integer(days), t.Null()])),
  immutableTags: t.Optional(settings.immutableTags),
})

const repositoryMembers = {
  name: RepositoryText,
  description: settings.description,
  untaggedDays: t.Optional(integer(days)),
  immutableTags: settings.immutableTags,
  createdAt: Time,
  blobCount: Count,
  bytes: count('Total size of its blobs, including deleted ones, in bytes'),
  uniqueBytes: t.Optional(
    count('Total size of the blobs that no other repository has, in bytes; server admins only'),
  ),
  pullCount: count('Number of manifest pulls'),
  pushCount: count('Number of manifest pushes'),
  lastPulledAt: t.Optional(Time),
  lastPushedAt: t.Optional(Time),
  deletedAt: t.Optional(Time),
  restorableUntil: t.Optional(time('Only for deleted repositories')),
}

const ListedRepository = t.Object({ ...repositoryMembers, tagCount: Count })

const Repository = t.Object(
  { ...repositoryMembers, tagCount: Count, manifestCount: Count, manifestBytes: Bytes },
  { description: 'A repository' },
)

const Rewound = t.Object(
  {
    restoredCount: count('Tags that were moved back'),
    deletedCount: count('Tags that did not exist at that time and were deleted'),
    lostCount: count('Tags whose manifest has been permanently deleted'),
  },
  { description: 'What happened to the tags' },
)

/** A tag in a path. */
const TagParam = t
  .Transform(t.String({ maxLength: 128, example: 'latest' }))
  .Decode(parseTag)
  .Encode(String)

/** A digest in a body. */
const DigestValue = t
  .Transform(t.String({ maxLength: 135, example: DIGEST_EXAMPLE }))
  .Decode(parseDigest)
  .Encode(String)

const MediaType = t.String({ example: 'application/vnd.oci.image.manifest.v1+json' })

export const Kind = t.String({ description: 'What kind of artifact it is', example: 'Container image' })

const TagModel = t.Object(
  {
    name: t.String({ example: 'latest' }),
    digest: DigestText,
    kind: Kind,
    mediaType: MediaType,
    artifactType: t.Optional(t.String()),
    bytes: count('Size of the manifest itself, in bytes'),
    totalBytes: t.Optional(
      count('Total size including everything it references, in bytes; only with `details`'),
    ),
    platforms: t.Optional(
      t.Array(t.String({ example: 'linux/arm64/v8' }), {
        description: 'The platforms of the image or index; only with `details`',
      }),
    ),
    pushedAt: time('When the manifest was pushed'),
    updatedAt: time('When the tag was last moved'),
    expiresAt: t.Optional(Time),
    pullCount: Count,
    lastPulledAt: t.Optional(Time),
  },
  { description: 'A tag' },
)

/** A manifest in a path. */
export const ofManifest = t.Object({
  repository: RepositoryParam,
  reference: t
    .Transform(t.String({ maxLength: 135, description: 'A tag, or a digest', example: 'latest' }))
    .Decode(parseReference)
    .Encode(({ digest, tag }) => digest ?? tag),
})

const ofDigest = t.Object({ repository: RepositoryParam, reference: DigestParam })

const ofRepository = t.Object({ repository: RepositoryParam })

const ofTag = t.Object({ repository: RepositoryParam, tag: TagParam })

const Texts = t.Record(t.String(), t.String())

const Platform = t.Object({
  os: t.String({ example: 'linux' }),
  architecture: t.String({ example: 'arm64' }),
  variant: t.Optional(t.String({ example: 'v8' })),
  osVersion: t.Optional(t.String()),
})

const members = {
  digest: DigestText,
  kind: Kind,
  mediaType: MediaType,
  artifactType: t.Optional(t.String()),
  bytes: count('Size of the manifest itself, in bytes'),
  pushedAt: Time,
  subject: t.Optional(DigestText),
  tags: t.Array(t.String({ example: 'latest' }), { description: 'The first tags that point at it' }),
  unreferencedAt: t.Optional(time('Since when nothing references it any more')),
  untaggedAt: t.Optional(time('Since when it has existed without ever being referenced')),
  deletedAt: t.Optional(Time),
  restorableUntil: t.Optional(time('Only for deleted manifests')),
}

const part = {
  digest: DigestText,
  mediaType: MediaType,
  bytes: Bytes,
  artifactType: t.Optional(t.String()),
  annotations: t.Optional(Texts),
}

const Config = t.Object(part)

const Layer = t.Object({
  ...part,
  createdBy: t.Optional(t.String({ description: 'The command that created it', example: 'COPY . /app' })),
  exists: t.Boolean({ description: 'Whether the repository has the blob' }),
})

const HistoryEntry = t.Object({
  createdAt: t.Optional(Time),
  createdBy: t.Optional(t.String({ example: 'RUN make' })),
  author: t.Optional(t.String()),
  comment: t.Optional(t.String()),
  layer: t.Optional(t.String({ description: 'The digest of the layer that it created' })),
})

const Child = t.Object({
  ...part,
  kind: t.Optional(Kind),
  platform: t.Optional(Platform),
  totalBytes: Bytes,
  exists: t.Boolean(),
})

const texts = t.Array(t.String())

const Image = t.Object({
  platform: t.Optional(Platform),
  createdAt: t.Optional(Time),
  author: t.Optional(t.String()),
  entrypoint: texts,
  command: texts,
  environment: texts,
  user: t.Optional(t.String()),
  workingDirectory: t.Optional(t.String()),
  ports: texts,
  volumes: texts,
})

const Manifest = t.Object(
  {
    ...members,
    totalBytes: count('Total size including everything it references, each digest counted once, in bytes'),
    config: t.Optional(Config),
    layers: t.Array(Layer),
    history: t.Array(HistoryEntry, { description: 'How it was built, oldest step first' }),
    manifests: t.Array(Child, { description: 'The manifests of an index' }),
    image: t.Optional(Image),
    annotations: Texts,
    labels: Texts,
    truncated: t.Boolean({ description: 'Whether the response was truncated' }),
  },
  { description: 'A manifest' },
)

const referrer = {
  ...part,
  kind: t.Optional(Kind),
  tag: t.Optional(t.String({ description: 'The tag that makes it a referrer, as cosign names them' })),
}

/** Nests referrers to a fixed depth, because many client generators do not support recursive schemas. */
function referrersOf(depth: number): TSchema {
  return t.Array(t.Object(depth === 1 ? referrer : { ...referrer, referrers: referrersOf(depth - 1) }))
}

const ReferrersTree = t.Object(
  { digest: DigestText, referrers: referrersOf(REFERRERS_DEPTH_MAX), truncated: t.Boolean() },
  {
    description:
      'The referrers of a manifest, such as signatures, SBOMs and attestations, and their referrers',
  },
)

const DailyPulls = t.Object({
  day: t.String({ format: 'date', description: 'The day, in UTC', example: '2026-01-31' }),
  tag: t.Optional(t.String({ description: 'Absent for pulls by digest', example: 'latest' })),
  account: t.Optional(t.String({ description: 'Absent for anonymous pulls', example: 'alice+ci' })),
  pullCount: integer({ minimum: 1, description: 'Number of manifest pulls' }),
})

const NAME = ['NAME_UNKNOWN', 'NAME_INVALID'] as const

const TAG = [...NAME, 'MANIFEST_UNKNOWN', 'MANIFEST_INVALID'] as const

const MANIFEST = [...TAG, 'DIGEST_INVALID'] as const

const RESTORABLE = 'It can be restored for 14 days by default.'

/** The routes below /api/v1 for repositories, tags and manifests. */
export const ROUTES = {
  repositories: {
    get: operation('listRepositories', 'catalog', 'List and search the repositories that you may pull from', {
      description:
        'With `deleted`, lists the repositories that you may restore, most recently deleted first.',
      query: t.Object({
        ...pageParameters,
        q: t.Optional(t.String({ maxLength: 100, description: 'Part of the name or the description' })),
        deleted: t.Optional(t.Boolean()),
      }),
      answer: pageOf(ListedRepository, 'Repositories, by name'),
    }),
  },
  'repositories/:repository': {
    get: operation('getRepository', 'pull', 'Show a repository', {
      params: ofRepository,
      answer: Repository,
      etag: 'partial',
      errors: NAME,
    }),
    put: operation('putRepository', 'delete', 'Create a repository, or replace its settings', {
      description: 'Absent settings get their defaults. A push also creates a repository.',
      params: ofRepository,
      body: RepositorySettings,
      answer: Repository,
      creates: 'unless-it-exists',
      etag: true,
      errors: ['NAME_INVALID'],
    }),
    patch: operation('updateRepository', 'delete', "Change a repository's settings", {
      params: ofRepository,
      body: RepositorySettings,
      answer: Repository,
      etag: true,
      errors: NAME,
    }),
    delete: operation('deleteRepository', 'delete', 'Delete a repository and everything in it', {
      description: RESTORABLE,
      params: ofRepository,
      etag: true,
      errors: NAME,
    }),
  },
  'repositories/:repository/restore': {
    post: operation('restoreRepository', 'delete', 'Restore a deleted repository', {
      description: 'Without `deletedAt`, restores the repository of this name that was deleted last.',
      params: ofRepository,
      body: t.Object({
        deletedAt: t.Optional(time('When the repository was deleted, if several with this name were')),
      }),
      answer: Repository,
      errors: [...NAME, 'CONFLICT'],
    }),
  },
  'repositories/:repository/rewind': {
    post: operation('rewindRepository', 'delete', 'Rewind the tags of a repository', {
      description: 'Points every tag at what it pointed at then, and deletes the tags that did not exist.',
      params: ofRepository,
      body: t.Object({ at: time('The time to rewind the tags to') }),
      answer: Rewound,
      errors: [...NAME, 'CONFLICT'],
    }),
  },
  'repositories/:repository/history': {
    get: operation('listRepositoryHistory', 'pull', "List the history of a repository's tags", {
      params: ofRepository,
      query: PageQuery,
      answer: Moves,
      errors: NAME,
    }),
  },
  'repositories/:repository/pulls': {
    get: operation('listPulls', 'delete', 'List who pulled from a repository', {
      description:
        'Pulls are counted by tag, account and day, and kept for 90 days. A HEAD by tag and a GET of its digest by the same ' +
        'account within a minute count as a pull of the tag.',
      params: ofRepository,
      query: t.Object({
        ...pageParameters,
        tag: t.Optional(
          t.String({ maxLength: 128, description: 'Only the pulls of this tag', example: 'latest' }),
        ),
      }),
      answer: pageOf(DailyPulls, 'Pulls, newest day first'),
      errors: [...NAME, 'MANIFEST_INVALID'],
    }),
  },
  'repositories/:repository/tags': {
    get: operation('listTags', 'pull', 'List and search the tags of a repository', {
      params: ofRepository,
      query: t.Object({
        ...pageParameters,
        q: t.Optional(t.String({ maxLength: 128, description: 'Part of the name, case-insensitive' })),
        sort: t.Optional(oneOf(['name', 'updated'])),
        order: t.Optional(oneOf(['asc', 'desc'])),
        details: t.Optional(
          t.Boolean({
            description: 'Add totalBytes and platforms, for which the manifests are read [false]',
          }),
        ),
      }),
      answer: pageOf(TagModel, 'Tags'),
      errors: NAME,
    }),
  },
  'repositories/:repository/tags/:tag': {
    get: operation('getTag', 'pull', 'Show a tag', {
      params: ofTag,
      answer: TagModel,
      etag: 'partial',
      errors: TAG,
    }),
    put: operation('putTag', 'push', 'Point a tag at a manifest of its repository', {
      params: ofTag,
      body: t.Object({ digest: DigestValue }),
      answer: TagModel,
      creates: 'unless-it-exists',
      etag: true,
      errors: [...MANIFEST, 'CONFLICT'],
    }),
    patch: operation('updateTag', 'delete', 'Set when a tag expires', {
      params: ofTag,
      body: t.Object({
        expiresAt: t.Union([t.String({ format: 'date-time' }), t.Null()], {
          description: 'When the tag expires; null: never',
          example: '2099-12-31T23:59:59Z',
        }),
      }),
      answer: TagModel,
      etag: true,
      errors: [...TAG, 'CONFLICT'],
    }),
    delete: operation('deleteTag', 'delete', 'Delete a tag; its manifest stays', {
      description: RESTORABLE,
      params: ofTag,
      etag: true,
      errors: [...TAG, 'CONFLICT'],
    }),
  },
  'repositories/:repository/tags/:tag/history': {
    get: operation('listTagHistory', 'pull', 'List the history of a tag', {
      params: ofTag,
      query: PageQuery,
      answer: Moves,
      errors: TAG,
    }),
  },
  'repositories/:repository/tags/:tag/restore': {
    post: operation('restoreTag', 'delete', 'Restore a tag to an earlier manifest', {
      description:
        'Give either a digest that the tag pointed at, or a time. If the manifest was deleted, it is restored too.',
      params: ofTag,
      body: t.Object({
        digest: t.Optional(DigestValue),
        at: t.Optional(time('Restore what the tag pointed to at this time')),
      }),
      answer: TagModel,
      errors: [...MANIFEST, 'CONFLICT'],
    }),
  },
  'repositories/:repository/manifests': {
    get: operation('listManifests', 'pull', 'List the manifests of a repository', {
      description: 'With `deleted`, lists the deleted manifests that you can restore.',
      params: ofRepository,
      query: t.Object({ ...pageParameters, deleted: t.Optional(t.Boolean()) }),
      answer: pageOf(t.Object(members), 'Manifests, newest first by their first push'),
      errors: NAME,
    }),
  },
  'repositories/:repository/manifests/:reference': {
    get: operation('getManifest', 'pull', 'Show a manifest', {
      params: ofManifest,
      answer: Manifest,
      etag: 'partial',
      errors: MANIFEST,
    }),
    delete: operation('deleteManifest', 'delete', 'Delete a manifest with its tags', {
      description: RESTORABLE,
      params: ofDigest,
      etag: true,
      errors: [...MANIFEST, 'CONFLICT'],
    }),
  },
  'repositories/:repository/manifests/:reference/raw': {
    get: operation('getRawManifest', 'pull', 'Download a manifest exactly as it was pushed', {
      description: 'The Content-Type is the one it was pushed with.',
      params: ofManifest,
      answer: t.String({ format: 'binary', description: 'The manifest' }),
      mediaType: '*/*',
      errors: MANIFEST,
    }),
  },
  'repositories/:repository/manifests/:reference/referrers': {
    get: operation('listReferrers', 'pull', 'List the referrers of a manifest as a tree', {
      params: ofManifest,
      answer: ReferrersTree,
      errors: MANIFEST,
    }),
  },
  'repositories/:repository/manifests/:reference/restore': {
    post: operation(
      'restoreManifest',
      'delete',
      'Restore a deleted manifest with the tags that were deleted with it',
      {
        params: ofDigest,
        answer: t.Object(
          { tags: t.Array(t.String(), { description: 'The tags that were restored with it' }) },
          { description: 'The manifest is restored' },
        ),
        errors: MANIFEST,
      },
    ),
  },
}

export type ContentRoutes = RoutesOf<typeof ROUTES>
