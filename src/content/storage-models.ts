import { t } from 'elysia'
import { operation, type RoutesOf } from '../http/operation.ts'
import {
  Bytes,
  Count,
  count,
  DigestParam,
  DigestText,
  NextCursor,
  oneOf,
  PageQuery,
  pageOf,
  pageParameters,
  RepositoryParam,
  RepositoryText,
  Time,
  time,
} from '../http/schemas.ts'
import { SEARCHABLE_LABEL_BYTES_MAX, SEARCHABLE_LABELS_MAX } from '../oci/image-config.ts'
import { RESULTS_MAX, UPLOADS_COUNTED_MAX } from './limits.ts'
import { Kind } from './models.ts'

const Storage = t.Object(
  {
    blobs: t.Object(
      { count: Count, bytes: Bytes },
      { description: 'Each blob is counted once, however many repositories have it' },
    ),
    uploads: t.Object(
      { count: Count, bytes: Bytes },
      { description: `Uploads in progress; at most ${UPLOADS_COUNTED_MAX} are counted` },
    ),
    disk: t.Object(
      {
        totalBytes: Bytes,
        freeBytes: Bytes,
        freeBytesMin: count('How many bytes must be free, or the server is not ready; 0 for no limit'),
      },
      { description: 'The disk that holds the data folder' },
    ),
    damagedCount: count('Blobs and manifests whose bytes are damaged or missing; /damage lists them'),
  },
  { description: 'Storage usage' },
)

/** How many candidates of garbage collection are examined for a list. */
export const CANDIDATES_MAX = 500

const InRepository = t.Object({
  repository: RepositoryText,
  deletedAt: t.Optional(time('When it was deleted; it is listed while its bytes count')),
  blobCount: Count,
  bytes: count('Total size of its blobs, including those that will be deleted, in bytes'),
  uniqueBytes: count('Total size of the blobs that no other repository has, in bytes'),
  sharedBytes: count('Total size of the blobs that other repositories also have, in bytes'),
  cachedBytes: count('Total size of its blobs if they were cached from an upstream, otherwise 0, in bytes'),
  deletedBytes: t.Optional(
    count(
      'Total size of what the garbage collector will delete of it, in bytes, as far as the next ' +
        `${CANDIDATES_MAX} candidates tell; only in the order of \`bytes\``,
    ),
  ),
})

const Use = t.Object({
  repository: RepositoryText,
  linkedAt: Time,
  unreferencedAt: t.Optional(time('Since when no manifest of the repository references it')),
})

const Blob = t.Object(
  {
    digest: DigestText,
    bytes: Bytes,
    storedAt: t.Optional(time('Server admins only')),
    verifiedAt: t.Optional(time('When its bytes were last hashed; server admins only')),
    items: t.Array(Use, { description: 'The repositories that have it, of those that you may pull from' }),
    nextCursor: NextCursor,
  },
  { description: 'A blob' },
)

const UploadName = t.String({
  pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
  description: "The first part of the upload's id; it does not give access to the upload",
  example: '01a20eb4-c836-7331-88bc-0fcfff9ebd41',
})

const Upload = t.Object({
  id: UploadName,
  repository: t.Optional(t.String({ description: 'Known if the upload was used since the server started' })),
  bytes: Bytes,
  startedAt: Time,
  updatedAt: Time,
})

const groupOf = <const P extends Parameters<typeof t.Object>[0]>(properties: P, description: string) =>
  t.Object(
    {
      items: t.Array(t.Object(properties)),
      truncated: t.Boolean({ description: 'Whether there may be more', example: false }),
    },
    { description },
  )

const Found = t.Object(
  {
    repositories: groupOf(
      { name: RepositoryText, description: t.String({ example: 'Base images' }), bytes: Bytes },
      'Repositories with the text in their name or description',
    ),
    tags: groupOf(
      { repository: RepositoryText, name: t.String({ example: 'latest' }), digest: DigestText, kind: Kind },
      'Tags that begin with the text, at most three from each repository',
    ),
    manifests: groupOf(
      { repository: RepositoryText, digest: DigestText, kind: Kind },
      'Manifests whose digest begins with the text',
    ),
    labels: groupOf(
      {
        repository: RepositoryText,
        digest: DigestText,
        tag: t.Nullable(
          t.String({ description: 'The newest tag of the manifest; null without one', example: 'latest' }),
        ),
        label: t.String({ description: 'The label that was found', example: 'env=production' }),
        kind: Kind,
      },
      'Manifests with a label or annotation that begins with the text, at most three from each repository',
    ),
  },
  { description: 'What was found, by kind' },
)

/** The routes below /api/v1 for storage, blobs, uploads, digests and the search. */
export const ROUTES = {
  storage: {
    get: operation('getStorage', 'admin', 'Show used and free storage', { answer: Storage }),
  },
  'storage/repositories': {
    get: operation('listRepositoryStorage', 'admin', 'List the storage of each repository', {
      query: t.Object({ ...pageParameters, sort: t.Optional(oneOf(['name', 'bytes'], 'The order [name]')) }),
      answer: pageOf(InRepository, 'Repositories, by name, or largest first with deleted ones'),
    }),
  },
  'blobs/:digest': {
    get: operation('getBlob', 'catalog', 'Show a blob and where it is used', {
      params: t.Object({ digest: DigestParam }),
      query: PageQuery,
      answer: Blob,
      errors: ['BLOB_UNKNOWN', 'DIGEST_INVALID'],
    }),
  },
  'repositories/:repository/blobs/:digest': {
    get: operation('downloadBlob', 'pull', 'Download a blob', {
      description: 'Supports ranges. Browsers store it as a file and never run it, whatever it is.',
      params: t.Object({ repository: RepositoryParam, digest: DigestParam }),
      answer: t.String({ format: 'binary', description: 'The blob' }),
      mediaType: '*/*',
      etag: true,
      ranges: true,
      errors: ['NAME_UNKNOWN', 'NAME_INVALID', 'BLOB_UNKNOWN', 'DIGEST_INVALID'],
    }),
  },
  uploads: {
    get: operation('listUploads', 'admin', 'List the uploads in progress that have received bytes', {
      query: PageQuery,
      answer: pageOf(Upload, 'Uploads, oldest first'),
    }),
  },
  'uploads/:id': {
    delete: operation('cancelUpload', 'admin', 'Cancel an upload', {
      description: 'Its bytes are deleted as soon as no request uses it.',
      params: t.Object({ id: UploadName }),
      errors: ['NOT_FOUND'],
    }),
  },
  digests: {
    get: operation('findDigests', 'catalog', 'Find the digests that begin with a prefix', {
      description:
        'Finds manifests and blobs of one repository, or, for server admins, of all. Returns at most ten.',
      query: t.Object({
        prefix: t.String({
          maxLength: 135,
          description: 'The algorithm and at least six hex characters',
          example: 'sha256:000000000000',
        }),
        repository: t.Optional(RepositoryParam),
      }),
      answer: pageOf(DigestText, 'Digests; never more than one page'),
      errors: ['DIGEST_INVALID', 'NAME_INVALID', 'NAME_UNKNOWN'],
    }),
  },
  search: {
    get: operation('search', 'catalog', 'Search repositories, tags, digests and labels', {
      description:
        `Finds only what you may pull, at most ${RESULTS_MAX} of each kind. \`NAME:TAG\` finds tags in the repositories ` +
        'whose name contains NAME. A digest needs at least six hex characters; without an algorithm it is sha256. ' +
        'Labels are those of an image and the annotations of any manifest, as `NAME=VALUE`; upper and lower case differ. ' +
        `The first ${SEARCHABLE_LABELS_MAX} of a manifest are searched, and of each the first ` +
        `${SEARCHABLE_LABEL_BYTES_MAX} bytes.`,
      query: t.Object({
        q: t.String({
          minLength: 1,
          maxLength: 400,
          description: 'Text to find: part of a repository, or the beginning of a tag, digest or label',
          example: 'alpine',
        }),
      }),
      answer: Found,
    }),
  },
}

export type StorageRoutes = RoutesOf<typeof ROUTES>
