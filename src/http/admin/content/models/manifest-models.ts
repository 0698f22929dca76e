import { type TSchema, t } from 'elysia'
import { REFERRERS_DEPTH_MAX } from '../../../../core/content/referrers-tree.ts'
import { parseReference } from '../../../../oci/reference.ts'
import { operation } from '../../operation.ts'
import {
  Bytes,
  count,
  DigestParam,
  DigestText,
  pageOf,
  pageParameters,
  RepositoryParam,
  Time,
  time,
} from '../../schemas.ts'

export const params = t.Object({
  repository: RepositoryParam,
  reference: t
    .Transform(t.String({ maxLength: 135, description: 'A tag, or a digest', example: 'latest' }))
    .Decode(parseReference)
    .Encode(({ digest, tag }) => digest ?? tag),
})

export const digestParams = t.Object({ repository: RepositoryParam, reference: DigestParam })

export const ManifestsQuery = t.Object({ ...pageParameters, deleted: t.Optional(t.Boolean()) })

const Texts = t.Record(t.String(), t.String())

const MediaType = t.String({ example: 'application/vnd.oci.image.manifest.v1+json' })

const Kind = t.String({ description: 'What kind of artifact it is', example: 'Container image' })

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

const Restored = t.Object(
  { tags: t.Array(t.String(), { description: 'The tags that were restored with it' }) },
  { description: 'The manifest is restored' },
)

const UNKNOWN = [
  'NAME_UNKNOWN',
  'NAME_INVALID',
  'MANIFEST_UNKNOWN',
  'MANIFEST_INVALID',
  'DIGEST_INVALID',
] as const

/** The operations on manifests. */
export const MANIFEST_OPERATIONS = {
  list: operation('listManifests', 'pull', 'List the manifests of a repository', {
    description: 'With `deleted`, lists the deleted manifests that you can restore.',
    answer: pageOf(t.Object(members), 'Manifests, newest first by their first push'),
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
  get: operation('getManifest', 'pull', 'Show a manifest', {
    answer: Manifest,
    etag: 'partial',
    errors: UNKNOWN,
  }),
  raw: operation('getRawManifest', 'pull', 'Download a manifest exactly as it was pushed', {
    description: 'The Content-Type is the one it was pushed with.',
    answer: t.String({ format: 'binary', description: 'The manifest' }),
    mediaType: '*/*',
    errors: UNKNOWN,
  }),
  referrers: operation('listReferrers', 'pull', 'List the referrers of a manifest as a tree', {
    answer: ReferrersTree,
    errors: UNKNOWN,
  }),
  remove: operation('deleteManifest', 'delete', 'Delete a manifest with its tags', {
    description: 'It can be restored for 14 days by default.',
    etag: true,
    errors: [...UNKNOWN, 'CONFLICT'],
  }),
  restore: operation(
    'restoreManifest',
    'delete',
    'Restore a deleted manifest with the tags that were deleted with it',
    { answer: Restored, errors: UNKNOWN },
  ),
}
