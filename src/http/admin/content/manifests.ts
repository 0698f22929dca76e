import { t } from 'elysia'
import { REFERRERS_DEPTH_MAX } from '../../../core/referrers-tree.ts'
import type { Registry } from '../../../domain/registry.ts'
import type { Reference, RepositoryName } from '../../../oci/reference.ts'
import { INERT } from '../../inert.ts'
import { type AdminContext, controller } from '../context.ts'
import { DONE, mapPage, RepositoryParam } from '../schemas.ts'
import { toManifest, toMembers, toReferrer } from './manifest-answers.ts'
import { digestParams, ManifestsQuery, MANIFEST_OPERATIONS as OPERATIONS, params } from './manifest-models.ts'

const CONDITIONS = ['if-match', 'if-none-match']

/**
 * Below /api/v1/repositories/:repository/manifests: GET; GET and DELETE /:reference; GET .../raw, GET .../referrers,
 * POST .../restore
 */
export function manifests(context: AdminContext) {
  const { manifests, registry } = context.content
  const describe = async (repository: RepositoryName, reference: Reference) =>
    toManifest(await manifests.describe(repository, reference))
  return controller(context, 'manifests', '/repositories/:repository/manifests')
    .get(
      '',
      async ({ asker, params: { repository }, query: { deleted, ...query } }) => {
        const asked = { ...query, deleted: deleted === 'true' }
        return mapPage(await manifests.list(asker, repository, asked), toMembers)
      },
      {
        params: t.Object({ repository: RepositoryParam }),
        query: ManifestsQuery,
        ...OPERATIONS.list,
      },
    )
    .get('/:reference', ({ params: { repository, reference } }) => describe(repository, reference), {
      params,
      ...OPERATIONS.get,
    })
    .get('/:reference/raw', ({ params: { repository, reference } }) => raw(registry, repository, reference), {
      params,
      ...OPERATIONS.raw,
    })
    .get(
      '/:reference/referrers',
      async ({ params: { repository, reference } }) => {
        const { digest, referrers, isCut } = await manifests.referrers(repository, reference)
        return { digest, referrers: referrers.map((one) => toReferrer(one, REFERRERS_DEPTH_MAX)), isCut }
      },
      { params, ...OPERATIONS.referrers },
    )
    .delete(
      '/:reference',
      async ({ asker, params: { repository, reference: digest }, request }) => {
        const isConditional = CONDITIONS.some((name) => request.headers.has(name))
        const description = isConditional ? await describe(repository, { digest }) : undefined
        await context.changes.make(
          request,
          `the manifest ${repository}@${digest}`,
          () => description,
          () => manifests.delete(asker.act(), repository, digest),
        )
        return DONE
      },
      { params: digestParams, ...OPERATIONS.remove },
    )
    .post(
      '/:reference/restore',
      async ({ asker, params: { repository, reference: digest } }) => ({
        ...DONE,
        tags: await manifests.restore(asker.act(), repository, digest),
      }),
      { params: digestParams, ...OPERATIONS.restore },
    )
}

/** The bytes of a manifest as they were pushed. */
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
  return new Response(Uint8Array.from(bytes), { headers: { ...INERT, ...named } })
}
