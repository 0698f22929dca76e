import { t } from 'elysia'
import type { Explanation, GarbageState } from '../../../core/content/garbage.ts'
import { parseDigest } from '../../../oci/digest.ts'
import { parseRepositoryName } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { present } from '../present.ts'
import { mapPage, PageQuery } from '../schemas.ts'
import { COLLECTOR_OPERATIONS as OPERATIONS } from './collector-models.ts'

const ExplainQuery = t.Object({
  digest: t.String({ maxLength: 135, example: `sha256:${'0'.repeat(64)}` }),
  repository: t.Optional(t.String({ maxLength: 255, example: 'library/alpine' })),
})

/** GET /api/v1/collector, /api/v1/collector/candidates, /api/v1/collector/totals, /api/v1/collector/explain */
export function collector(context: AdminContext) {
  const { garbage } = context.content
  return controller(context, 'collector', '/collector')
    .get('', () => toState(garbage.state()), OPERATIONS.get)
    .get('/candidates', async ({ query }) => mapPage(await garbage.candidates(query), present), {
      query: PageQuery,
      ...OPERATIONS.candidates,
    })
    .get('/totals', () => garbage.totals(), OPERATIONS.totals)
    .get(
      '/explain',
      async ({ query: { digest, repository } }) => {
        const name = repository === undefined ? undefined : parseRepositoryName(repository)
        return { items: (await garbage.explain(parseDigest(digest), name)).map(toExplanation) }
      },
      { query: ExplainQuery, ...OPERATIONS.explain },
    )
}

function toState({ garbageWindow, lastRun, ...state }: GarbageState) {
  const { graceMs, windowMs, untaggedDays } = garbageWindow
  return present({
    ...state,
    garbageWindow: { graceSeconds: graceMs / 1000, windowSeconds: windowMs / 1000, untaggedDays },
    lastRun: lastRun && present(lastRun),
  })
}

function toExplanation(explanation: Explanation) {
  return present({ ...explanation, reasons: explanation.reasons.map(present) })
}
