import { t } from 'elysia'
import { UpstreamSchema } from '../config/schema.ts'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { markCreated } from '../http/operation.ts'
import { mapPage, PageQuery } from '../http/schemas.ts'
import { parseReference, parseRepositoryName, parseTag } from '../oci/reference.ts'
import type { Pin } from './eviction.ts'
import {
  CACHE_OPERATIONS,
  CacheRefreshBody,
  Named,
  NamedPin,
  PIN_OPERATIONS,
  PinListQuery,
  SettingsBody,
  UPSTREAM_OPERATIONS,
} from './models.ts'

/** GET /api/v1/cache, /cache/tags, /cache/downloads, /cache/explain; POST /api/v1/cache/refresh, /cache/evict */
export function cache(context: AdminContext) {
  const { cache } = context.content
  return controller(context, 'cache', '/cache')
    .get('', async () => omitAbsent(await cache.show()), CACHE_OPERATIONS.get)
    .get('/tags', async ({ query }) => mapPage(await cache.tags(query), omitAbsent), {
      query: PageQuery,
      ...CACHE_OPERATIONS.tags,
    })
    .get('/downloads', () => ({ items: cache.downloads() }), CACHE_OPERATIONS.downloads)
    .get(
      '/explain',
      ({ query }) => cache.explain(parseRepositoryName(query.repository), parseReference(query.reference)),
      { query: Named, ...CACHE_OPERATIONS.explain },
    )
    .post(
      '/refresh',
      ({ principal, body }) =>
        cache.refresh(principal.act(), parseRepositoryName(body.repository), parseTag(body.tag)),
      { body: CacheRefreshBody, ...CACHE_OPERATIONS.refresh },
    )
    .post(
      '/evict',
      ({ principal, body }) =>
        cache.evict(principal.act(), parseRepositoryName(body.repository), parseReference(body.reference)),
      { body: Named, ...CACHE_OPERATIONS.evict },
    )
}

/** GET, PUT and DELETE /api/v1/pins */
export function pins(context: AdminContext) {
  const { pins } = context.content
  return controller(context, 'pins', '/pins')
    .get('', async ({ query }) => ({ items: (await pins.list(query)).map(toPin) }), {
      query: PinListQuery,
      ...PIN_OPERATIONS.list,
    })
    .put(
      '',
      async ({ principal, body, set }) => {
        const { isNew, ...pin } = await pins.add(principal.act(), body.pattern, body.reference)
        markCreated(set, isNew)
        return toPin(pin)
      },
      { body: NamedPin, ...PIN_OPERATIONS.put },
    )
    .delete('', ({ principal, query }) => pins.remove(principal.act(), query.pattern, query.reference), {
      query: NamedPin,
      ...PIN_OPERATIONS.delete,
    })
}

function toPin({ pattern, reference, createdAt }: Pin & { createdAt: number }) {
  return omitAbsent({ pattern, reference: reference === '' ? undefined : reference, createdAt })
}

const params = t.Object({
  name: t.String({
    pattern: UpstreamSchema.properties.name.pattern ?? '',
    maxLength: 100,
    description: 'A host name, the first component of its repository names',
    example: 'docker.io',
  }),
})

/** GET /api/v1/upstreams; GET, PUT and DELETE /api/v1/upstreams/:name; POST /api/v1/upstreams/:name/check */
export function upstreams(context: AdminContext) {
  const { upstreamStates } = context.content
  const show = async (name: string) => omitAbsent(await upstreamStates.get(name))
  return controller(context, 'upstreams', '/upstreams')
    .get('', () => ({ items: upstreamStates.list().map(omitAbsent) }), UPSTREAM_OPERATIONS.list)
    .get('/:name', ({ params: { name } }) => show(name), { params, ...UPSTREAM_OPERATIONS.get })
    .put(
      '/:name',
      async ({ principal, params: { name }, body: { password, token, ...settings }, set }) => {
        markCreated(set, await upstreamStates.put(principal.act(), name, settings, { password, token }))
        return await show(name)
      },
      { params, body: SettingsBody, ...UPSTREAM_OPERATIONS.put },
    )
    .delete('/:name', ({ principal, params: { name } }) => upstreamStates.remove(principal.act(), name), {
      params,
      ...UPSTREAM_OPERATIONS.remove,
    })
    .post('/:name/check', ({ params: { name } }) => upstreamStates.check(name), {
      params,
      ...UPSTREAM_OPERATIONS.check,
    })
}
