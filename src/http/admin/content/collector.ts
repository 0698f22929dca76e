import { t } from 'elysia'
import type {
  Candidate,
  CollectorRun,
  Explanation,
  GarbageState,
  GarbageTotals,
} from '../../../core/content/garbage.ts'
import { parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { DIGEST_EXAMPLE, mapPage, PageQuery } from '../schemas.ts'
import { COLLECTOR_OPERATIONS as OPERATIONS } from './models/collector-models.ts'

const ExplainQuery = t.Object({
  digest: t.String({ maxLength: 135, example: DIGEST_EXAMPLE }),
  repository: t.Optional(t.String({ maxLength: 255, example: 'library/alpine' })),
})

/** GET /api/v1/gc, /api/v1/gc/candidates, /api/v1/gc/totals, /api/v1/gc/explain */
export function collector(context: AdminContext) {
  const { garbage } = context.content
  return controller(context, 'gc', '/gc')
    .get('', () => toState(garbage.state()), OPERATIONS.get)
    .get('/candidates', async ({ query }) => mapPage(await garbage.candidates(query), toCandidate), {
      query: PageQuery,
      ...OPERATIONS.candidates,
    })
    .get('/totals', async () => toTotals(await garbage.totals()), OPERATIONS.totals)
    .get(
      '/explain',
      async ({ query: { digest, repository } }) => {
        const name = repository === undefined ? undefined : parseRepositoryName(repository)
        return { items: (await garbage.explain(parseDigest(digest), name)).map(toExplanation) }
      },
      { query: ExplainQuery, ...OPERATIONS.explain },
    )
}

function toState({ garbageWindow, isRunning: running, lastRun, ...state }: GarbageState) {
  const { graceMs, windowMs, untaggedDays } = garbageWindow
  return omitAbsent({
    ...state,
    running,
    garbageWindow: { graceSeconds: graceMs / 1000, windowSeconds: windowMs / 1000, untaggedDays },
    lastRun: lastRun && toRun(lastRun),
  })
}

function toRun({ startedAt, endedAt, stopped: stopReason, bytes, ...counts }: CollectorRun) {
  return omitAbsent({ startedAt, endedAt, stopReason, bytes, ...toCounts(counts) })
}

function toTotals({ isComplete, bytes, ...counts }: GarbageTotals) {
  return { ...toCounts(counts), bytes, truncated: !isComplete }
}

function toCounts({ tags, manifests, repositories, blobs }: Counts) {
  return { tagCount: tags, manifestCount: manifests, repositoryCount: repositories, blobCount: blobs }
}

type Counts = Pick<GarbageTotals, 'tags' | 'manifests' | 'repositories' | 'blobs'>

function toCandidate({ why: reason, ...candidate }: Candidate) {
  return omitAbsent({ ...candidate, reason })
}

function toExplanation(explanation: Explanation) {
  const reasons = explanation.reasons.map(({ names: referencedBy, ...reason }) =>
    omitAbsent({ ...reason, referencedBy }),
  )
  return omitAbsent({ ...explanation, reasons })
}
