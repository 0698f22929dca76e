import { t } from 'elysia'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { mapPage, PageQuery, RepositoryParam } from '../http/schemas.ts'
import { parseDigest, parseRepositoryName, type RepositoryName } from '../oci/reference.ts'
import type { Candidate } from './candidates.ts'
import type { Explanation } from './explanation.ts'
import type { Collected, Collector, GarbageTotals, Purgeable, Purged, Run } from './garbage.ts'
import { COLLECTOR_OPERATIONS, ExplainQuery, PURGE_OPERATIONS, PurgedDigest } from './models.ts'

/** GET /api/v1/gc, /api/v1/gc/candidates, /api/v1/gc/totals, /api/v1/gc/explain */
export function collector(context: AdminContext) {
  const { garbage } = context.content
  return controller(context, 'gc', '/gc')
    .get('', () => toState(garbage.state()), COLLECTOR_OPERATIONS.get)
    .get('/candidates', async ({ query }) => mapPage(await garbage.candidates(query), toCandidate), {
      query: PageQuery,
      ...COLLECTOR_OPERATIONS.candidates,
    })
    .get('/totals', async () => toTotals(await garbage.totals()), COLLECTOR_OPERATIONS.totals)
    .get(
      '/explain',
      async ({ query: { digest, repository } }) => {
        const name = repository === undefined ? undefined : parseRepositoryName(repository)
        return { items: (await garbage.explain(parseDigest(digest), name)).map(toExplanation) }
      },
      { query: ExplainQuery, ...COLLECTOR_OPERATIONS.explain },
    )
}

function toState({ garbageWindow, isRunning: running, lastRun, ...state }: ReturnType<Collector['state']>) {
  const { graceMs, windowMs, untaggedDays } = garbageWindow
  return omitAbsent({
    ...state,
    running,
    garbageWindow: { graceSeconds: graceMs / 1000, windowSeconds: windowMs / 1000, untaggedDays },
    lastRun: lastRun && toRun(lastRun),
  })
}

function toRun({ startedAt, endedAt, stopped: stopReason, bytes, ...counts }: Run) {
  return omitAbsent({ startedAt, endedAt, stopReason, bytes, ...toCounts(counts) })
}

function toTotals({ isComplete, bytes, ...counts }: GarbageTotals) {
  return { ...toCounts(counts), bytes, truncated: !isComplete }
}

function toCounts({ tags, manifests, repositories, blobs }: Omit<Collected, 'bytes'>) {
  return { tagCount: tags, manifestCount: manifests, repositoryCount: repositories, blobCount: blobs }
}

function toCandidate({ why: reason, ...candidate }: Candidate) {
  return omitAbsent({ ...candidate, reason })
}

function toExplanation(explanation: Explanation) {
  const reasons = explanation.reasons.map(({ names: referencedBy, ...reason }) =>
    omitAbsent({ ...reason, referencedBy }),
  )
  return omitAbsent({ ...explanation, reasons })
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
      { params, query: PurgedDigest, ...PURGE_OPERATIONS.preview },
    )
    .post(
      '/repositories/:repository/purge',
      async ({ principal, params: { repository }, body: { digest } }) =>
        toPurged(await purges.purge(principal.act(), targetOf(repository, digest))),
      { params, body: PurgedDigest, ...PURGE_OPERATIONS.purge },
    )
    .get(
      '/gc/purge',
      async ({ principal }) => toPurgeable(await purges.preview(principal, EVERYTHING)),
      PURGE_OPERATIONS.previewAll,
    )
    .post(
      '/gc/purge',
      async ({ principal }) => toPurged(await purges.purge(principal.act(), EVERYTHING)),
      PURGE_OPERATIONS.purgeAll,
    )
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
