import { Elysia, t } from 'elysia'
import type { Access, Identity } from '../domain/access.ts'
import { registryError } from '../oci/error.ts'
import { type ExpositionSources, openExposition } from './exposition.ts'

/** Who may read the metrics: a server admin, by any of its credentials; anybody; or nobody. */
export type MetricsAccess = 'admin' | 'anonymous' | 'off'

export interface MetricsOptions extends ExpositionSources {
  mode: MetricsAccess
  access: Access
  /** Who asks; throws UNAUTHORIZED. */
  authenticate: (request: Request) => Identity | Promise<Identity>
}

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'

const SECURITY: Record<MetricsAccess, Record<string, never[]>[]> = {
  admin: [{ basic: [] }, { bearer: [] }],
  anonymous: [{}],
  off: [],
}

/** GET /metrics: what this process counts, for Prometheus. */
export function metrics({ mode, access, authenticate, ...sources }: MetricsOptions) {
  const app = new Elysia({ name: 'metrics', tags: ['metrics'] })
  if (mode === 'off') return app
  let exposition: ReturnType<typeof openExposition> | undefined
  return app.get(
    '/metrics',
    async ({ request }) => {
      if (mode === 'admin' && !access.isOpen) checkAdmin(await authenticate(request))
      exposition ??= openExposition(sources)
      return new Response(await (await exposition)(), {
        headers: { 'content-type': TEXT, 'cache-control': 'no-store' },
      })
    },
    {
      response: { 200: t.String({ description: 'The metrics', example: 'cay_blobs 42' }) },
      detail: {
        summary: 'Read the metrics, as Prometheus does',
        operationId: 'getMetrics',
        security: SECURITY[mode],
        'x-media-type': 'text/plain',
      },
    },
  )
}

/** A token that is narrowed will do: what is read here is of no repository. */
function checkAdmin({ account, isAdmin }: Identity): void {
  if (isAdmin) return
  if (account === undefined) throw registryError('UNAUTHORIZED', 'sign in with Basic, or a token as Bearer')
  throw registryError('DENIED', 'only a server admin may do this')
}
