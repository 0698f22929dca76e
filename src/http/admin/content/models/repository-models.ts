import { t } from 'elysia'
import type { RepositorySummary } from '../../../../core/content/repositories.ts'
import { omitAbsent } from '../../omit-absent.ts'
import { operation } from '../../operation.ts'
import { Bytes, Count, count, integer, pageOf, RepositoryText, Time, time } from '../../schemas.ts'
import { Moves } from '../moves.ts'

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
export const RepositorySettings = t.Object({
  description: t.Optional(settings.description),
  untaggedDays: t.Optional(t.Union([t.Integer(days), t.Null()])),
  immutableTags: t.Optional(settings.immutableTags),
})

const members = {
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

const ListedRepository = t.Object({ ...members, tagCount: Count })

const Repository = t.Object(
  { ...members, tagCount: Count, manifestCount: Count, manifestBytes: Bytes },
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

/** Converts a repository to an entry of a list. */
export function toRepository(summary: RepositorySummary) {
  const { blobBytes: bytes, tags: tagCount, ownBytes: uniqueBytes, pulls, pushes, ...rest } = summary
  return omitAbsent({ ...rest, tagCount, bytes, uniqueBytes, pullCount: pulls, pushCount: pushes })
}

/** The operations on repositories. */
export const REPOSITORY_OPERATIONS = {
  list: operation('listRepositories', 'catalog', 'List and search the repositories that you may pull from', {
    answer: pageOf(ListedRepository, 'Repositories, by name'),
    description: 'With `deleted`, lists the repositories that you may restore, most recently deleted first.',
  }),
  get: operation('getRepository', 'pull', 'Show a repository', {
    answer: Repository,
    etag: 'partial',
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
  put: operation('putRepository', 'delete', 'Create a repository, or replace its settings', {
    description: 'Absent settings get their defaults. A push also creates a repository.',
    answer: Repository,
    creates: 'unless-it-exists',
    etag: true,
    errors: ['NAME_INVALID'],
  }),
  change: operation('updateRepository', 'delete', "Change a repository's settings", {
    answer: Repository,
    etag: true,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
  remove: operation('deleteRepository', 'delete', 'Delete a repository and everything in it', {
    description: 'It can be restored for 14 days by default.',
    etag: true,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
  restore: operation('restoreRepository', 'delete', 'Restore a deleted repository', {
    description: 'Without `deletedAt`, restores the repository of this name that was deleted last.',
    answer: Repository,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID', 'CONFLICT'],
  }),
  rewind: operation('rewindRepository', 'delete', 'Rewind the tags of a repository', {
    description: 'Points every tag at what it pointed at then, and deletes the tags that did not exist.',
    answer: Rewound,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID', 'CONFLICT'],
  }),
  history: operation('listRepositoryHistory', 'pull', "List the history of a repository's tags", {
    answer: Moves,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
}
