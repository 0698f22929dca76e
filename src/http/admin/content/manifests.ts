import { t } from 'elysia'
import { REFERRERS_DEPTH_MAX } from '../../../core/content/referrers-tree.ts'
import type { Registry } from '../../../domain/registry.ts'
import type { Reference, RepositoryName } from '../../../oci/reference.ts'
import { INERT } from '../../inert.ts'
import { type AdminContext, controller } from '../context.ts'
import { mapPage, RepositoryParam } from '../schemas.ts'
import { toManifest, toMembers, toReferrer } from './manifest-answers.ts'
import {
  digestParams,
  ManifestsQuery,
  MANIFEST_OPERATIONS as OPERATIONS,
  params,
} from './models/manifest-models.ts'

/**
 * Below /api/v1/repositories/:repository/manifests: GET; GET and DELETE /:reference; GET .../raw, GET .../referrers,
 * POST .../restore
 */
export function manifests(context: AdminContext) {
  const { manifests, registry } = context.content
  return controller(context, 'manifests', '/repositories/:repository/manifests')
    .get(
      '',
      async ({ principal, params: { repository }, query: { deleted = false, ...query } }) =>
        mapPage(await manifests.list(principal, repository, { ...query, deleted }), toMembers),
      { params: t.Object({ repository: RepositoryParam }), query: ManifestsQuery, ...OPERATIONS.list },
    )
    .get(
      '/:reference',
      async ({ params: { repository, reference } }) =>
        toManifest(await manifests.describe(repository, reference)),
      { params, ...OPERATIONS.get },
    )
    .get('/:reference/raw', ({ params: { repository, reference } }) => raw(registry, repository, reference), {
      params,
      ...OPERATIONS.raw,
    })
    .get(
      '/:reference/referrers',
      async ({ params: { repository, reference } }) => {
        const { digest, referrers, truncated } = await manifests.referrers(repository, reference)
        return { digest, referrers: referrers.map((one) => toReferrer(one, REFERRERS_DEPTH_MAX)), truncated }
      },
      { params, ...OPERATIONS.referrers },
    )
    .delete(
      '/:reference',
      ({ principal, params: { repository, reference: digest } }) =>
        manifests.delete(principal.act(), repository, digest),
      { params: digestParams, ...OPERATIONS.remove },
    )
    .post(
      '/:reference/restore',
      async ({ principal, params: { repository, reference: digest } }) => ({
        tags: await manifests.restore(principal.act(), repository, digest),
      }),
      { params: digestParams, ...OPERATIONS.restore },
    )
}

/** Responds with the bytes of a manifest as they were pushed. */
async function raw(
  { manifests }: Registry,
  repository: RepositoryName,
  reference: Reference,
): Promise<Response> {
  const { bytes, mediaType, digest } = await manifests.get(repository, reference)
  const named = {
    'content-type': mediaType,
    'docker-content-digest': digest,
    'cache-control': 'private, no-cache',
  }
  return new Response(new Uint8Array(bytes), { headers: { ...INERT, ...named } })
}
