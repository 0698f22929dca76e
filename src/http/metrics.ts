import { Elysia, t } from 'elysia'
import type { Access, Identity } from '../domain/access/access.ts'
import { registryError } from '../oci/error.ts'
import { type ExpositionSources, openExposition } from './exposition.ts'

/** Who may read the metrics: server admins, anyone, or no one. */
export type MetricsAccess = 'admin' | 'anonymous' | 'off'

export interface MetricsOptions extends ExpositionSources {
  mode: MetricsAccess
  access: Access
  /** Returns the caller's identity; throws UNAUTHORIZED. */
  authenticate: (request: Request) => Identity | Promise<Identity>
}

const TEXT = 'text/plain; version=0.0.4; charset=utf-8'

const SECURITY: Record<MetricsAccess, Record<string, never[]>[]> = {
  admin: [{ basic: [] }, { bearer: [] }],
  anonymous: [{}],
  off: [],
}

/** GET /metrics: the metrics of this process, for Prometheus. */
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
        summary: 'Get metrics in the Prometheus text format',
        operationId: 'getMetrics',
        security: SECURITY[mode],
        'x-media-type': 'text/plain',
      },
    },
  )
}

/** Throws unless the caller is a server admin. A token's scope does not matter, since metrics belong to no repository. */
function checkAdmin({ account, isAdmin }: Identity): void {
  if (isAdmin) return
  if (account === undefined)
    throw registryError('UNAUTHORIZED', 'authentication required: use Basic, or a token as Bearer')
  throw registryError('DENIED', 'only server admins may read the metrics')
}
