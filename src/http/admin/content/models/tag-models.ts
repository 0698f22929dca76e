import { t } from 'elysia'
import { parseDigest } from '../../../../oci/digest.ts'
import { parseTag } from '../../../../oci/reference.ts'
import { operation } from '../../operation.ts'
import {
  Count,
  count,
  DIGEST_EXAMPLE,
  DigestText,
  oneOf,
  pageOf,
  pageParameters,
  Time,
  time,
} from '../../schemas.ts'
import { Moves } from '../moves.ts'

/** A tag in a path. */
export const TagParam = t
  .Transform(t.String({ maxLength: 128, example: 'latest' }))
  .Decode(parseTag)
  .Encode(String)

/** A digest in a body. */
const DigestValue = t
  .Transform(t.String({ maxLength: 135, example: DIGEST_EXAMPLE }))
  .Decode(parseDigest)
  .Encode(String)

export const TagTarget = t.Object({ digest: DigestValue })

export const TagChange = t.Object({
  expiresAt: t.Union([t.String({ format: 'date-time' }), t.Null()], {
    description: 'When the tag expires; null: never',
    example: '2099-12-31T23:59:59Z',
  }),
})

export const TagRestore = t.Object({
  digest: t.Optional(DigestValue),
  at: t.Optional(time('Restore what the tag pointed to at this time')),
})

export const TagsQuery = t.Object({
  ...pageParameters,
  q: t.Optional(t.String({ maxLength: 128, description: 'Part of the name, case-insensitive' })),
  sort: t.Optional(oneOf(['name', 'updated'])),
  order: t.Optional(oneOf(['asc', 'desc'])),
  details: t.Optional(
    t.Boolean({ description: 'Add totalBytes and platforms, for which the manifests are read [false]' }),
  ),
})

const TagModel = t.Object(
  {
    name: t.String({ example: 'latest' }),
    digest: DigestText,
    kind: t.String({ description: 'What kind of artifact it is', example: 'Container image' }),
    mediaType: t.String({ example: 'application/vnd.oci.image.manifest.v1+json' }),
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

const UNKNOWN = ['NAME_UNKNOWN', 'NAME_INVALID', 'MANIFEST_UNKNOWN', 'MANIFEST_INVALID'] as const

/** The operations on tags. */
export const TAG_OPERATIONS = {
  list: operation('listTags', 'pull', 'List and search the tags of a repository', {
    answer: pageOf(TagModel, 'Tags'),
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
  get: operation('getTag', 'pull', 'Show a tag', { answer: TagModel, etag: 'partial', errors: UNKNOWN }),
  put: operation('putTag', 'push', 'Point a tag at a manifest of its repository', {
    answer: TagModel,
    creates: 'unless-it-exists',
    etag: true,
    errors: [...UNKNOWN, 'DIGEST_INVALID', 'CONFLICT'],
  }),
  change: operation('updateTag', 'delete', 'Set when a tag expires', {
    answer: TagModel,
    etag: true,
    errors: [...UNKNOWN, 'CONFLICT'],
  }),
  remove: operation('deleteTag', 'delete', 'Delete a tag; its manifest stays', {
    description: 'It can be restored for 14 days by default.',
    etag: true,
    errors: [...UNKNOWN, 'CONFLICT'],
  }),
  history: operation('listTagHistory', 'pull', 'List the history of a tag', {
    answer: Moves,
    errors: UNKNOWN,
  }),
  restore: operation('restoreTag', 'delete', 'Restore a tag to an earlier manifest', {
    description:
      'Give either a digest that the tag pointed at, or a time. If the manifest was deleted, it is restored too.',
    answer: TagModel,
    errors: [...UNKNOWN, 'DIGEST_INVALID', 'CONFLICT'],
  }),
}
