import { t } from 'elysia'
import type { Purgeable, Purged } from '../../../core/content/purges.ts'
import { parseDigest } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { Bytes, Count, DIGEST_EXAMPLE, RepositoryParam, time } from '../schemas.ts'

const counts = { repositoryCount: Count, manifestCount: Count }

const PurgeableAnswer = t.Object(
  {
    ...counts,
    bytes: t.Optional(Bytes),
    truncated: t.Boolean({ description: 'Whether there is more: at most 10,000 are counted' }),
  },
  {
    description:
      'What a purge would delete. `bytes` are those that it frees, at least; for server admins only',
  },
)

const PurgedAnswer = t.Object(
  {
    ...counts,
    heldUntil: t.Optional(
      time('Content that a push in progress may refer to is freed by then; absent if all is freed at once'),
    ),
  },
  { description: 'What was purged: deleted repositories, and manifests' },
)

const digest = t.Optional(
  t.String({ maxLength: 135, description: 'Only this manifest', example: DIGEST_EXAMPLE }),
)
const shared = {
  description:
    'Deleted repositories and manifests, and manifests that lost their last tag, can then no longer be restored. The space becomes free in the background. Content that a push in progress may refer to stays for the grace period after the last push.',
}
const errors = ['NAME_UNKNOWN', 'NAME_INVALID', 'MANIFEST_UNKNOWN', 'DIGEST_INVALID'] as const

/** The operations that delete permanently. */
const OPERATIONS = {
  preview: operation('previewRepositoryPurge', 'delete', 'Show what a purge of a repository would delete', {
    answer: PurgeableAnswer,
    errors,
  }),
  purge: operation(
    'purgeRepository',
    'delete',
    'Permanently delete the deleted and untagged content of a repository',
    { ...shared, answer: PurgedAnswer, errors },
  ),
  previewAll: operation('previewPurge', 'admin', 'Show what a purge of all repositories would delete', {
    answer: PurgeableAnswer,
  }),
  purgeAll: operation(
    'purge',
    'admin',
    'Permanently delete the deleted and untagged content of all repositories',
    { ...shared, answer: PurgedAnswer },
  ),
}

const params = t.Object({ repository: RepositoryParam })
const EVERYTHING = { repository: undefined, digest: undefined }

/** GET and POST /api/v1/repositories/:repository/purge, /api/v1/gc/purge */
export function purges(context: AdminContext) {
  const { purges } = context.content
  return controller(context, 'purges', '')
    .get(
      '/repositories/:repository/purge',
      async ({ principal, params: { repository }, query: { digest } }) =>
        toPurgeable(await purges.preview(principal, targetOf(repository, digest))),
      { params, query: t.Object({ digest }), ...OPERATIONS.preview },
    )
    .post(
      '/repositories/:repository/purge',
      async ({ principal, params: { repository }, body: { digest } }) =>
        toPurged(await purges.purge(principal.act(), targetOf(repository, digest))),
      { params, body: t.Object({ digest }), ...OPERATIONS.purge },
    )
    .get('/gc/purge', async ({ principal }) => toPurgeable(await purges.preview(principal, EVERYTHING)), {
      ...OPERATIONS.previewAll,
    })
    .post('/gc/purge', async ({ principal }) => toPurged(await purges.purge(principal.act(), EVERYTHING)), {
      ...OPERATIONS.purgeAll,
    })
}

function targetOf(repository: RepositoryName, digest: string | undefined) {
  return { repository, digest: digest === undefined ? undefined : parseDigest(digest) }
}

function toPurgeable({ repositories, manifests, bytes, isComplete }: Purgeable) {
  return omitAbsent({
    repositoryCount: repositories,
    manifestCount: manifests,
    bytes,
    truncated: !isComplete,
  })
}

function toPurged({ repositories, manifests, heldUntil }: Purged) {
  return omitAbsent({ repositoryCount: repositories, manifestCount: manifests, heldUntil })
}
