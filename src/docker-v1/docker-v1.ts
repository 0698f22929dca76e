import { Elysia } from 'elysia'
import type { Logger } from 'pino'
import { dockerVersion, isOlder } from '../docker/schema1.ts'
import type { ApiServices } from '../http/controller.ts'
import { onDemand } from '../runtime/idle-memory.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { SessionOptions, V1Context } from './exchange.ts'

export interface V1SurfaceOptions
  extends Omit<V1Context, 'sessions' | 'images' | 'blobs' | 'usage' | 'repositories'>,
    SessionOptions {
  content: Pick<ApiServices, 'v1Images' | 'registry' | 'repositories'>
  metrics: Metrics
  log: Logger
  nextRequestId: () => string
}

/** Docker's V1 API, for pulls. It is one wildcard route, because repository names have slashes. */
export function v1Surface({ content, ...options }: V1SurfaceOptions) {
  const surface = new Elysia({ name: 'v1' })
  const { v1Images: images, registry, repositories } = content
  // V1 is disabled.
  if (images === undefined) return surface
  const { blobs, usage } = registry
  const dispatch = onDemand(
    () => import('./routes.ts'),
    ({ v1Dispatch }) => ({ handle: v1Dispatch({ ...options, images, blobs, usage, repositories }) }),
  )
  return surface.all('/v1/*', ({ request }) => dispatch(request), { parse: 'none', detail: { hide: true } })
}

/** Reports whether the client is a Docker with no or poor support for `/v2`, which falls back to V1. */
export function isForV1(request: Request): boolean {
  return isOlder(dockerVersion(request.headers.get('user-agent')), 1, 6)
}
