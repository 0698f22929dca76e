import { t } from 'elysia'
import { unknownManifest } from '../../../core/local-manifests.ts'
import { REFERRERS_DEPTH_MAX, ReferrersTreeBuilder } from '../../../core/referrers-tree.ts'
import { unknownIn, unknownRepository } from '../../../core/unknown.ts'
import type { Asker } from '../../../domain/asker.ts'
import type { ListedManifest } from '../../../metadata/content/catalog.ts'
import type { Reference, RepositoryName } from '../../../oci/reference.ts'
import { INERT } from '../../inert.ts'
import { type AdminContext, controller } from '../context.ts'
import { cursorOf, parseCursor } from '../cursor.ts'
import { DONE, page, RepositoryParam } from '../schemas.ts'
import { toManifest, toMembers, toReferrer } from './manifest-answers.ts'
import { digestParams, ManifestsQuery, MANIFEST_OPERATIONS as OPERATIONS, params } from './manifest-models.ts'

/** Tags that a list names of each manifest. */
const LISTED_TAGS_MAX = 10

const CONDITIONS = ['if-match', 'if-none-match']

/**
 * Below /api/v1/repositories/:repository/manifests: GET; GET and DELETE /:reference; GET .../raw, GET .../referrers,
 * POST .../restore
 */
export function manifests(context: AdminContext) {
  const { metadata, content } = context
  const { list, describe, raw, referrers } = readsOf(context)
  return controller(context, 'manifests', '/repositories/:repository/manifests')
    .get('', ({ asker, params: { repository }, query }) => list(asker, repository, query), {
      params: t.Object({ repository: RepositoryParam }),
      query: ManifestsQuery,
      ...OPERATIONS.list,
    })
    .get('/:reference', ({ params: { repository, reference } }) => describe(repository, reference), {
      params,
      ...OPERATIONS.get,
    })
    .get('/:reference/raw', ({ params: { repository, reference } }) => raw(repository, reference), {
      params,
      ...OPERATIONS.raw,
    })
    .get(
      '/:reference/referrers',
      ({ params: { repository, reference } }) => referrers(repository, reference),
      {
        params,
        ...OPERATIONS.referrers,
      },
    )
    .delete(
      '/:reference',
      async ({ asker, params: { repository, reference: digest }, request }) => {
        const { caller } = asker.act()
        const isConditional = CONDITIONS.some((name) => request.headers.has(name))
        const description = isConditional ? await describe(repository, { digest }) : undefined
        await context.changes.make(
          request,
          `the manifest ${repository}@${digest}`,
          () => description,
          () => content.registry.manifests.delete(caller, repository, { digest }),
        )
        return DONE
      },
      { params: digestParams, ...OPERATIONS.remove },
    )
    .post(
      '/:reference/restore',
      async ({ asker, params: { repository, reference: digest } }) => {
        const act = asker.act()
        const windowStart = act.at - content.retention.windowMs
        const { tags } = await metadata.write('restoreManifest', { ...act, repository, digest, windowStart })
        return { ...DONE, tags }
      },
      { params: digestParams, ...OPERATIONS.restore },
    )
}

function readsOf({ metadata, content, now }: AdminContext) {
  const { registry, descriptions, retention } = content
  const { windowMs } = retention
  const toListed = (row: ListedManifest) => {
    const tags = metadata.tags.ofManifest(row.id, '', LISTED_TAGS_MAX, now())
    return toMembers({ ...row, kind: descriptions.kindOf(row), tags }, windowMs)
  }
  return {
    list(asker: Asker, repository: RepositoryName, query: typeof ManifestsQuery.static) {
      if (query.deleted === 'true') asker.delete(repository)
      const [before = 0] = parseCursor(query.last, Number.MAX_SAFE_INTEGER)
      const read = (limit: number) =>
        query.deleted === 'true'
          ? metadata.catalog.deletedManifests(repository, now() - windowMs, before, limit)
          : metadata.catalog.manifests(repository, before, limit)
      return page(
        query,
        (limit) => {
          const found = read(limit)
          if (found === undefined) throw unknownRepository(repository)
          return found
        },
        ({ id }) => cursorOf(id),
        toListed,
      )
    },

    async describe(repository: RepositoryName, reference: Reference) {
      return toManifest(await descriptions.describe(repository, reference, now()), windowMs)
    },

    async raw(repository: RepositoryName, reference: Reference): Promise<Response> {
      const { bytes, mediaType, digest } = await registry.manifests.get(repository, reference)
      const named = {
        'content-type': mediaType,
        'docker-content-digest': digest,
        'cache-control': 'private, no-cache',
      }
      return new Response(Uint8Array.from(bytes), { headers: { ...INERT, ...named } })
    },

    async referrers(repository: RepositoryName, reference: Reference) {
      const row = metadata.manifests.find(repository, reference, now())
      if (row === undefined) throw unknownIn(metadata, repository, unknownManifest(repository, reference))
      const builder = new ReferrersTreeBuilder(metadata, registry.referrers, repository, now())
      const tree = await builder.build(row.digest)
      const referrers = tree.referrers.map((one) => toReferrer(one, REFERRERS_DEPTH_MAX))
      return { digest: row.digest, referrers, isCut: tree.isCut }
    },
  }
}
