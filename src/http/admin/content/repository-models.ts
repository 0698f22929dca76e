import { t } from 'elysia'
import type { RepositorySummary } from '../../../core/content/repositories.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import { Bytes, Count, Done, integer, pageOf, RepositoryText, Time } from '../schemas.ts'
import { Moves } from './moves.ts'

const days = {
  minimum: 0,
  maximum: 36_500,
  description:
    "Days until a manifest goes that never got a tag; 0: it stays; left out: as the server's setting says",
}

const settings = {
  description: t.String({ maxLength: 4096, description: 'For people', example: 'The base images of team A' }),
  immutableTags: t.Boolean({ description: 'Its tags may be made, but neither moved nor deleted' }),
}

/** What is given of a repository's settings; null is back to the server's setting. */
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
  blobs: Count,
  bytes: integer({
    minimum: 0,
    description: 'Bytes of all blobs that it links, also of those that are deleted',
  }),
  ownBytes: t.Optional(
    integer({
      minimum: 0,
      description: 'Bytes of those that no other repository links; for a server admin only',
    }),
  ),
  pulls: integer({ minimum: 0, description: 'Manifests that were pulled' }),
  pushes: integer({ minimum: 0, description: 'Manifests that were pushed' }),
  lastPulledAt: t.Optional(Time),
  lastPushedAt: t.Optional(Time),
  deletedAt: t.Optional(Time),
  restorableUntil: t.Optional(t.String({ format: 'date-time', description: 'Of one that is deleted' })),
}

const ListedRepository = t.Object({ ...members, tags: Count })

const Repository = t.Object(
  { ...members, tags: Count, manifests: Count, manifestBytes: Bytes },
  { description: 'A repository' },
)

const Restored = t.Object(
  {
    done: t.Boolean(),
    restored: t.Optional(integer({ minimum: 0, description: 'Tags that point at where they did' })),
    removed: t.Optional(integer({ minimum: 0, description: 'Tags that were not there, and are gone again' })),
    lost: t.Optional(integer({ minimum: 0, description: 'Tags whose manifest is not here any more' })),
  },
  { description: 'It is back; the counts are of a repository whose tags went back in time' },
)

/** A repository as a list tells of it. */
export function toRepository({ blobCount: blobs, blobBytes: bytes, ...repository }: RepositorySummary) {
  return present({ ...repository, blobs, bytes })
}

/** What the routes of repositories do, and who may ask. */
export const REPOSITORY_OPERATIONS = {
  list: operation({
    id: 'listRepositories',
    summary: 'List and search the repositories that you may pull from',
    access: 'catalog',
    answer: pageOf(ListedRepository, 'Repositories, by name'),
    description: 'With `deleted`, those that you may restore, the one that was deleted last first.',
  }),
  get: operation({
    id: 'getRepository',
    summary: 'Show a repository',
    access: 'pull',
    answer: Repository,
    etag: 'partial',
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
  put: operation({
    id: 'putRepository',
    summary: 'Make a repository, or give it these settings',
    access: 'delete',
    description: 'Settings that are left out are the defaults. A push makes a repository, too.',
    answer: Done,
    etag: true,
    errors: ['NAME_INVALID'],
  }),
  change: operation({
    id: 'changeRepository',
    summary: 'Change settings of a repository',
    access: 'delete',
    answer: Done,
    etag: true,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
  remove: operation({
    id: 'deleteRepository',
    summary: 'Delete a repository with all that is in it',
    access: 'delete',
    description: "It can be restored within the time machine's window.",
    answer: Done,
    etag: true,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
  restore: operation({
    id: 'restoreRepository',
    summary: 'Bring a deleted repository back, or go back in time with one',
    description:
      'With `at`, every tag of the repository points at what it did then. Otherwise the repository comes back that ' +
      'was deleted at `deletedAt`, or else the last one of this name.',
    access: 'delete',
    answer: Restored,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID', 'CONFLICT'],
  }),
  history: operation({
    id: 'listRepositoryHistory',
    summary: 'How the tags of a repository moved',
    access: 'pull',
    answer: Moves,
    errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
  }),
}
