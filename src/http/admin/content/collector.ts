import { t } from 'elysia'
import type { Run } from '../../../gc/collector.ts'
import type { Explanation } from '../../../metadata/garbage/explanation.ts'
import type { Candidate } from '../../../metadata/garbage/garbage.ts'
import { parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { present } from '../present.ts'
import { PAGE_DEFAULT, PageQuery, timeOf } from '../schemas.ts'
import { COLLECTOR_OPERATIONS as OPERATIONS } from './collector-models.ts'

const ExplainQuery = t.Object({
  digest: t.String({ maxLength: 135, example: `sha256:${'0'.repeat(64)}` }),
  repository: t.Optional(t.String({ maxLength: 255, example: 'library/alpine' })),
})

/** GET /api/v1/collector, /api/v1/collector/candidates, /api/v1/collector/totals, /api/v1/collector/explain */
export function collector(context: AdminContext) {
  const { collector, garbage, retention } = context.content
  const { graceMs, windowMs, untaggedDays } = retention
  const kept = { graceSeconds: graceMs / 1000, windowSeconds: windowMs / 1000, untaggedDays }
  return controller(context, 'collector', '/collector')
    .get(
      '',
      () => {
        const { waitingUntil, isRunning, lastRun } = collector.state()
        return present({
          isRunning,
          waitingUntil: timeOrNot(waitingUntil),
          kept,
          lastRun: lastRun && toRun(lastRun),
        })
      },
      OPERATIONS.get,
    )
    .get(
      '/candidates',
      async ({ query: { last, limit = PAGE_DEFAULT } }) => {
        const { items, next } = await garbage.page(last, limit)
        return present({ items: items.map(toCandidate), next })
      },
      { query: PageQuery, ...OPERATIONS.candidates },
    )
    .get('/totals', () => garbage.totals(), OPERATIONS.totals)
    .get(
      '/explain',
      ({ query: { digest, repository } }) => {
        const name = repository === undefined ? undefined : parseRepositoryName(repository)
        return { items: garbage.explain(parseDigest(digest), name).map(toExplanation) }
      },
      { query: ExplainQuery, ...OPERATIONS.explain },
    )
}

function toRun({ startedAt, endedAt, ...run }: Run) {
  return present({ ...run, startedAt: timeOf(startedAt), endedAt: timeOf(endedAt) })
}

function toCandidate({ since, goesAt, ...candidate }: Candidate) {
  return present({ ...candidate, since: timeOf(since), goesAt: timeOf(goesAt) })
}

function toExplanation({ kind, repository, digest, reasons, goesAt }: Explanation) {
  return present({
    kind,
    repository,
    digest,
    goesAt: timeOrNot(goesAt),
    reasons: reasons.map(({ because, names, until }) => present({ because, names, until: timeOrNot(until) })),
  })
}

function timeOrNot(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : timeOf(milliseconds)
}
