import { t } from 'elysia'
import {
  ManagedUpstreamSchema,
  UpstreamSchema,
  UpstreamSecretsSchema,
} from '../../../config/upstream-schema.ts'
import type { UpstreamCheck, UpstreamState } from '../../../core/content/cache/upstreams.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { markCreated, operation } from '../operation.ts'
import { ConfiguredIn, Count, count, oneOf, pageOf, Time } from '../schemas.ts'

const CheckModel = t.Object(
  {
    reachable: t.Boolean({ description: 'Whether it responds and accepts the credentials' }),
    durationMilliseconds: Count,
    message: t.String({ example: 'docker.io answers' }),
  },
  { description: 'The result of the check' },
)

const UpstreamModel = t.Object(
  {
    name: t.String({ description: 'The first component of its repository names', example: 'docker.io' }),
    url: t.String({ example: 'https://registry-1.docker.io/' }),
    mirrors: t.Array(t.String(), { description: 'URLs to try next, in order' }),
    state: oneOf(
      ['up', 'down', 'offline'],
      'down: recent requests failed; offline: set to offline in the configuration',
    ),
    credentialsSet: t.Boolean({ description: 'Whether credentials are configured; they are never shown' }),
    pullsRemaining: t.Optional(
      count('Pulls remaining in the current rate limit, as reported by the upstream'),
    ),
    pullLimit: t.Optional(Count),
    configuredIn: ConfiguredIn,
    lastCheck: t.Optional(
      t.Object(
        { at: Time, ...CheckModel.properties },
        {
          description:
            'The latest check. Absent before the first one since the server started or its settings changed',
          example: {
            at: '2026-01-31T12:00:00.000Z',
            reachable: true,
            durationMilliseconds: 120,
            message: 'docker.io answers',
          },
        },
      ),
    ),
    settings: t.Optional(t.Partial(ManagedUpstreamSchema)),
  },
  { description: 'An upstream' },
)

/** Refuses unknown settings. With `additionalProperties: false`, Elysia would drop them silently. */
const SettingsBody = t.Object(
  { ...t.Partial(ManagedUpstreamSchema).properties, ...UpstreamSecretsSchema },
  { additionalProperties: t.Never() },
)

const params = t.Object({
  name: t.String({
    pattern: UpstreamSchema.properties.name.pattern ?? '',
    maxLength: 100,
    description: 'A host name, the first component of its repository names',
    example: 'docker.io',
  }),
})

const OPERATIONS = {
  list: operation('listUpstreams', 'admin', 'List the upstream registries', {
    answer: pageOf(UpstreamModel, 'Upstreams in the order of the configuration; never more than one page'),
  }),
  get: operation('getUpstream', 'admin', 'Show an upstream', {
    answer: UpstreamModel,
    etag: 'partial',
    errors: ['NOT_FOUND'],
  }),
  put: operation('putUpstream', 'admin', 'Add an upstream, or replace its settings', {
    answer: UpstreamModel,
    creates: 'unless-it-exists',
    etag: true,
    description:
      'Takes effect immediately. Omitted settings have their defaults. The password or token is kept if it is ' +
      'left out and url, username, proxy and ca stay the same.',
    errors: ['CONFLICT', 'NAME_INVALID'],
  }),
  remove: operation('deleteUpstream', 'admin', 'Remove an upstream; its repositories stay', {
    etag: true,
    errors: ['CONFLICT', 'NOT_FOUND'],
  }),
  check: operation('checkUpstream', 'admin', 'Check whether an upstream can be reached', {
    answer: CheckModel,
    errors: ['NOT_FOUND'],
  }),
}

/** GET /api/v1/upstreams; GET, PUT and DELETE /api/v1/upstreams/:name; POST /api/v1/upstreams/:name/check */
export function upstreams(context: AdminContext) {
  const { upstreamStates } = context.content
  const show = async (name: string) => toAnswer(await upstreamStates.get(name))
  return controller(context, 'upstreams', '/upstreams')
    .get('', () => ({ items: upstreamStates.list().map(toAnswer) }), OPERATIONS.list)
    .get('/:name', ({ params: { name } }) => show(name), { params, ...OPERATIONS.get })
    .put(
      '/:name',
      async ({ principal, params: { name }, body: { password, token, ...settings }, set }) => {
        markCreated(set, await upstreamStates.put(principal.act(), name, settings, { password, token }))
        return await show(name)
      },
      { params, body: SettingsBody, ...OPERATIONS.put },
    )
    .delete('/:name', ({ principal, params: { name } }) => upstreamStates.remove(principal.act(), name), {
      params,
      ...OPERATIONS.remove,
    })
    .post('/:name/check', async ({ params: { name } }) => toCheck(await upstreamStates.check(name)), {
      params,
      ...OPERATIONS.check,
    })
}

function toAnswer({ lastCheck, ...state }: UpstreamState) {
  return omitAbsent({
    ...state,
    lastCheck: lastCheck && omitAbsent({ at: lastCheck.at, ...toCheck(lastCheck) }),
  })
}

function toCheck({ isReached: reachable, milliseconds, message }: UpstreamCheck) {
  return { reachable, durationMilliseconds: milliseconds, message }
}
