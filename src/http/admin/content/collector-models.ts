import { t } from 'elysia'
import { operation } from '../operation.ts'
import { Bytes, Count, DigestText, integer, pageOf, RepositoryText, Time } from '../schemas.ts'

const counts = { tags: Count, manifests: Count, repositories: Count, blobs: Count, bytes: Bytes }

const Run = t.Object({
  ...counts,
  startedAt: Time,
  endedAt: Time,
  stopped: t.Optional(
    t.UnionEnum(['cancelled', 'waiting'], {
      default: undefined,
      description: 'Why it ended before all was collected',
    }),
  ),
})

const Collector = t.Object(
  {
    isRunning: t.Boolean(),
    waitingUntil: t.Optional(
      t.String({
        format: 'date-time',
        description:
          'Nothing is deleted until then, for the server has started lately, or its clock has jumped',
      }),
    ),
    lastRun: t.Optional(Run),
    kept: t.Object(
      { graceSeconds: Count, windowSeconds: Count, untaggedDays: Count },
      { description: 'How long garbage is kept: see the settings `gc`' },
    ),
  },
  { description: 'The collector' },
)

const Candidate = t.Object({
  kind: t.UnionEnum(['tag', 'manifest', 'repository', 'blob'], { default: undefined }),
  repository: RepositoryText,
  digest: t.Optional(DigestText),
  tag: t.Optional(t.String({ example: 'latest' })),
  why: t.UnionEnum(['expired', 'deleted', 'unreferenced', 'untagged'], { default: undefined }),
  since: t.String({ format: 'date-time', description: 'Since when it is garbage' }),
  goesAt: t.String({ format: 'date-time', description: 'When it goes, unless something happens' }),
  bytes: integer({ minimum: 0, description: 'What is free then, at least' }),
})

const Totals = t.Object(
  {
    ...counts,
    isComplete: t.Boolean({ description: 'Whether that is all: no more than 10,000 are counted' }),
  },
  { description: 'What goes, now and later, when nothing happens' },
)

const Reason = t.Object({
  because: t.UnionEnum(
    [
      ...(['tag', 'index', 'subject', 'manifest', 'pushed', 'unreferenced', 'untagged', 'deleted'] as const),
      'repository-deleted',
    ],
    { default: undefined, description: 'What reaches it, or what it is that keeps it for a while' },
  ),
  names: t.Array(t.String(), { description: 'The tags, or digests, that reach it; the first of many' }),
  until: t.Optional(Time),
})

const Explanation = t.Object({
  kind: t.UnionEnum(['manifest', 'blob'], { default: undefined }),
  repository: RepositoryText,
  digest: DigestText,
  reasons: t.Array(Reason),
  goesAt: t.Optional(t.String({ format: 'date-time', description: 'Left out: it stays' })),
})

/** What the routes of the collector do, and who may ask. */
export const COLLECTOR_OPERATIONS = {
  get: operation({
    id: 'getCollector',
    summary: 'The collector: whether it waits or runs, and what it did last',
    description: 'A job of the kind `collect` starts it.',
    access: 'admin',
    answer: Collector,
  }),
  candidates: operation({
    id: 'listCandidates',
    summary: 'What goes when nothing happens: a dry run',
    access: 'admin',
    description: 'A page may be short, or empty, and yet have a `next` one.',
    answer: pageOf(Candidate, 'Candidates'),
  }),
  totals: operation({
    id: 'getGarbageTotals',
    summary: 'How much goes when nothing happens',
    access: 'admin',
    answer: Totals,
  }),
  explain: operation({
    id: 'explainKept',
    summary: 'Why a manifest or blob is kept, or when it goes',
    access: 'admin',
    description: 'By repository; empty when none has it.',
    answer: pageOf(Explanation, 'By repository; never more than one page'),
    errors: ['DIGEST_INVALID', 'NAME_INVALID'],
  }),
}
