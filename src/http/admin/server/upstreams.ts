import { t } from 'elysia'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import { Count, integer, pageOf } from '../schemas.ts'

const UpstreamModel = t.Object(
  {
    name: t.String({ description: 'The first component of its repository names', example: 'docker.io' }),
    url: t.String({ example: 'https://registry-1.docker.io/' }),
    mirrors: t.Array(t.String(), { description: 'URLs to try next, in order' }),
    state: t.UnionEnum(['up', 'down', 'offline'], {
      default: undefined,
      description: 'down: recent requests failed; offline: set to offline in the configuration',
    }),
    hasCredentials: t.Boolean({ description: 'Whether credentials are configured; they are never shown' }),
    pullsRemaining: t.Optional(
      integer({
        minimum: 0,
        description: 'Pulls remaining in the current rate limit, as reported by the upstream',
      }),
    ),
    pullsLimit: t.Optional(Count),
  },
  { description: 'An upstream' },
)

const CheckModel = t.Object(
  {
    isReached: t.Boolean({ description: 'Whether it responds and accepts the credentials' }),
    milliseconds: Count,
    message: t.String({ example: 'docker.io answers' }),
  },
  { description: 'The result of the check' },
)

const OPERATIONS = {
  list: operation({
    id: 'listUpstreams',
    summary: 'List the upstream registries',
    access: 'admin',
    answer: pageOf(UpstreamModel, 'Upstreams in the order of the configuration; never more than one page'),
  }),
  get: operation({
    id: 'getUpstream',
    summary: 'Show an upstream',
    access: 'admin',
    answer: UpstreamModel,
    errors: ['NOT_FOUND'],
  }),
  check: operation({
    id: 'checkUpstream',
    summary: 'Check whether an upstream can be reached',
    access: 'admin',
    answer: CheckModel,
    errors: ['NOT_FOUND'],
  }),
}

/** GET /api/v1/upstreams, /api/v1/upstreams/:name; POST /api/v1/upstreams/:name/check */
export function upstreams(context: AdminContext) {
  const { upstreamStates } = context.content
  const params = t.Object({ name: t.String({ maxLength: 100, example: 'docker.io' }) })
  return controller(context, 'upstreams', '/upstreams')
    .get('', () => ({ items: upstreamStates.list().map(present) }), OPERATIONS.list)
    .get('/:name', ({ params: { name } }) => present(upstreamStates.get(name)), { params, ...OPERATIONS.get })
    .post('/:name/check', ({ params: { name } }) => upstreamStates.check(name), {
      params,
      ...OPERATIONS.check,
    })
}
