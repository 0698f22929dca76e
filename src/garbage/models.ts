import { t } from 'elysia'
import { operation, type Route } from '../http/operation.ts'
import {
  Bytes,
  Count,
  count,
  DIGEST_EXAMPLE,
  DigestText,
  oneOf,
  type PageQuery,
  pageOf,
  RepositoryText,
  Time,
  time,
} from '../http/schemas.ts'

const counts = {
  tagCount: Count,
  manifestCount: Count,
  repositoryCount: Count,
  blobCount: Count,
  bytes: Bytes,
}

const Run = t.Object({
  ...counts,
  startedAt: Time,
  endedAt: Time,
  stopReason: t.Optional(
    oneOf(
      ['cancelled', 'waiting', 'backup'],
      'Why the run stopped early: it was cancelled, it waits for the startup grace, or a backup is running',
    ),
  ),
})

const Collector = t.Object(
  {
    running: t.Boolean(),
    waitingUntil: t.Optional(
      time('Nothing is deleted until then, because the server started recently or its clock jumped'),
    ),
    lastRun: t.Optional(Run),
    garbageWindow: t.Object(
      { graceSeconds: Count, windowSeconds: Count, untaggedDays: Count },
      { description: 'How long garbage is kept before it is deleted: the `gc` settings' },
    ),
  },
  { description: 'The garbage collector' },
)

const Candidate = t.Object({
  kind: oneOf(['tag', 'manifest', 'repository', 'blob']),
  repository: RepositoryText,
  digest: t.Optional(DigestText),
  tag: t.Optional(t.String({ example: 'latest' })),
  reason: oneOf(['expired', 'deleted', 'unreferenced', 'untagged']),
  since: time('Since when it has been garbage'),
  collectableAt: time('When it will be deleted, unless something changes'),
  bytes: count('The bytes that this frees, at least'),
})

const Totals = t.Object(
  { ...counts, truncated: t.Boolean({ description: 'Whether there are more: at most 10,000 are counted' }) },
  { description: 'What will be deleted, now and later, if nothing changes' },
)

const Reason = t.Object({
  reason: oneOf(
    [
      ...(['tag', 'index', 'subject', 'manifest', 'pushed', 'unreferenced', 'untagged', 'deleted'] as const),
      'repository-deleted',
    ],
    'What references it, or why it is kept for a time',
  ),
  referencedBy: t.Array(t.String(), { description: 'The first tags or digests that reference it' }),
  until: t.Optional(Time),
})

const Explanation = t.Object({
  kind: oneOf(['manifest', 'blob']),
  repository: RepositoryText,
  digest: DigestText,
  reasons: t.Array(Reason),
  collectableAt: t.Optional(time('When it will be deleted; absent if it is kept')),
})

/** The operations on the garbage collector. */
export const COLLECTOR_OPERATIONS = {
  get: operation('getGc', 'admin', 'Show the state and last run of the garbage collector', {
    description: 'To run it, start a job of kind `gc`.',
    answer: Collector,
  }),
  candidates: operation('listGcCandidates', 'admin', 'List what will be deleted (dry run)', {
    description: 'A page may be short or even empty and still have a `nextCursor`.',
    answer: pageOf(Candidate, 'Candidates'),
  }),
  totals: operation('getGcTotals', 'admin', 'Show how much will be deleted', { answer: Totals }),
  explain: operation('explainGc', 'admin', 'Explain why a manifest or blob is kept, or when it is deleted', {
    description: 'Returns one entry for each repository that has it.',
    answer: pageOf(Explanation, 'Explanations by repository; never more than one page'),
    errors: ['DIGEST_INVALID', 'NAME_INVALID'],
  }),
}

export const ExplainQuery = t.Object({
  digest: t.String({ maxLength: 135, example: DIGEST_EXAMPLE }),
  repository: t.Optional(t.String({ maxLength: 255, example: 'library/alpine' })),
})

const purgeCounts = { repositoryCount: Count, manifestCount: Count }

const PurgeableAnswer = t.Object(
  {
    ...purgeCounts,
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
    ...purgeCounts,
    heldUntil: t.Optional(
      time('Content that a push in progress may refer to is freed by then; absent if all is freed at once'),
    ),
  },
  { description: 'What was purged: deleted repositories, and manifests' },
)

/** The query of a preview, and the body of a purge. */
export const PurgedDigest = t.Object({
  digest: t.Optional(
    t.String({ maxLength: 135, description: 'Only this manifest', example: DIGEST_EXAMPLE }),
  ),
})

const shared = {
  description:
    'Deleted repositories and manifests, and manifests that lost their last tag, can then no longer be restored. The space becomes free in the background. Content that a push in progress may refer to stays for the grace period after the last push.',
}

const errors = ['NAME_UNKNOWN', 'NAME_INVALID', 'MANIFEST_UNKNOWN', 'DIGEST_INVALID'] as const

/** The operations that delete permanently. */
export const PURGE_OPERATIONS = {
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

/** The routes below /api/v1, for the page and the commands. */
export type GarbageRoutes = {
  'gc/explain': { get: Route<typeof COLLECTOR_OPERATIONS.explain, { query: typeof ExplainQuery }> }
  'gc/totals': { get: Route<typeof COLLECTOR_OPERATIONS.totals> }
  'gc/candidates': { get: Route<typeof COLLECTOR_OPERATIONS.candidates, { query: typeof PageQuery }> }
  gc: { get: Route<typeof COLLECTOR_OPERATIONS.get> }
  'gc/purge': {
    post: Route<typeof PURGE_OPERATIONS.purgeAll>
    get: Route<typeof PURGE_OPERATIONS.previewAll>
  }
  'repositories/:repository/purge': {
    post: Route<typeof PURGE_OPERATIONS.purge, { body: typeof PurgedDigest }>
    get: Route<typeof PURGE_OPERATIONS.preview, { query: typeof PurgedDigest }>
  }
}
