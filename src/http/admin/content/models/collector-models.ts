import { t } from 'elysia'
import { operation } from '../../operation.ts'
import { Bytes, Count, DigestText, integer, pageOf, RepositoryText, Time } from '../../schemas.ts'

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
    t.UnionEnum(['cancelled', 'waiting', 'backup'], {
      default: undefined,
      description:
        'Why the run stopped early: it was cancelled, it waits for the startup grace, or a backup is running',
    }),
  ),
})

const Collector = t.Object(
  {
    running: t.Boolean(),
    waitingUntil: t.Optional(
      t.String({
        format: 'date-time',
        description: 'Nothing is deleted until then, because the server started recently or its clock jumped',
      }),
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
  kind: t.UnionEnum(['tag', 'manifest', 'repository', 'blob'], { default: undefined }),
  repository: RepositoryText,
  digest: t.Optional(DigestText),
  tag: t.Optional(t.String({ example: 'latest' })),
  reason: t.UnionEnum(['expired', 'deleted', 'unreferenced', 'untagged'], { default: undefined }),
  since: t.String({ format: 'date-time', description: 'Since when it has been garbage' }),
  collectableAt: t.String({
    format: 'date-time',
    description: 'When it will be deleted, unless something changes',
  }),
  bytes: integer({ minimum: 0, description: 'The bytes that this frees, at least' }),
})

const Totals = t.Object(
  { ...counts, truncated: t.Boolean({ description: 'Whether there are more: at most 10,000 are counted' }) },
  { description: 'What will be deleted, now and later, if nothing changes' },
)

const Reason = t.Object({
  reason: t.UnionEnum(
    [
      ...(['tag', 'index', 'subject', 'manifest', 'pushed', 'unreferenced', 'untagged', 'deleted'] as const),
      'repository-deleted',
    ],
    { default: undefined, description: 'What references it, or why it is kept for a time' },
  ),
  referencedBy: t.Array(t.String(), { description: 'The first tags or digests that reference it' }),
  until: t.Optional(Time),
})

const Explanation = t.Object({
  kind: t.UnionEnum(['manifest', 'blob'], { default: undefined }),
  repository: RepositoryText,
  digest: DigestText,
  reasons: t.Array(Reason),
  collectableAt: t.Optional(
    t.String({ format: 'date-time', description: 'When it will be deleted; absent if it is kept' }),
  ),
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
