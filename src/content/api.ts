import { t } from 'elysia'
import type { Principal } from '../access/decision.ts'
import { toMove } from '../history/history.ts'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { markCreated } from '../http/operation.ts'
import { INERT } from '../http/origin.ts'
import { mapPage, PageQuery, RepositoryParam } from '../http/schemas.ts'
import { registryError } from '../oci/error.ts'
import type { Part } from '../oci/manifest.ts'
import { parseTag, type Reference, type RepositoryName } from '../oci/reference.ts'
import type { Registry } from '../registry/registry.ts'
import type { ManifestDescription } from './content.ts'
import { REFERRERS_DEPTH_MAX } from './limits.ts'
import type { ManifestSummary, Referrer } from './manifests.ts'
import {
  digestParams,
  ListQuery,
  list,
  MANIFEST_OPERATIONS,
  ManifestsQuery,
  params,
  query,
  REPOSITORY_OPERATIONS,
  RepositorySettings,
  RestoreBody,
  RewindBody,
  TAG_OPERATIONS,
  TagChange,
  TagParam,
  TagRestore,
  TagsQuery,
  TagTarget,
} from './models.ts'
import type { RepositorySummary } from './repositories.ts'
import type { DescribedTag, NamedTag } from './tags.ts'

const repositoryParams = t.Object({ repository: RepositoryParam })

/** Below /api/v1/repositories: GET; GET, PUT, PATCH and DELETE /:repository; POST .../restore, .../rewind; GET .../history */
export function repositories(context: AdminContext) {
  const { repositories, history } = context.content
  const show = async (principal: Principal, repository: RepositoryName) =>
    toRepository(await repositories.get(principal, repository))
  return controller(context, 'repositories', '/repositories')
    .get(
      '',
      async ({ principal, query: { deleted = false, ...query } }) =>
        mapPage(await repositories.list(principal, { ...query, deleted }), toRepository),
      { query: ListQuery, ...REPOSITORY_OPERATIONS.list },
    )
    .get('/:repository', ({ principal, params: { repository } }) => show(principal, repository), {
      params: repositoryParams,
      ...REPOSITORY_OPERATIONS.get,
    })
    .put(
      '/:repository',
      async ({ principal, params: { repository }, body, set }) => {
        markCreated(set, await repositories.put(principal.act(), repository, body))
        return await show(principal, repository)
      },
      { params: repositoryParams, body: RepositorySettings, ...REPOSITORY_OPERATIONS.put },
    )
    .patch(
      '/:repository',
      async ({ principal, params: { repository }, body }) => {
        await repositories.change(principal.act(), repository, body)
        return await show(principal, repository)
      },
      { params: repositoryParams, body: RepositorySettings, ...REPOSITORY_OPERATIONS.change },
    )
    .delete(
      '/:repository',
      ({ principal, params: { repository } }) => repositories.delete(principal.act(), repository),
      { params: repositoryParams, ...REPOSITORY_OPERATIONS.remove },
    )
    .post(
      '/:repository/restore',
      async ({ principal, params: { repository }, body: { deletedAt } }) => {
        const time = deletedAt === undefined ? undefined : Date.parse(deletedAt)
        await repositories.restore(principal.act(), repository, time)
        return await show(principal, repository)
      },
      { params: repositoryParams, body: RestoreBody, ...REPOSITORY_OPERATIONS.restore },
    )
    .post(
      '/:repository/rewind',
      async ({ principal, params: { repository }, body: { at } }) => {
        const { restored, removed, lost } = await repositories.rewind(
          principal.act(),
          repository,
          Date.parse(at),
        )
        return { restoredCount: restored, deletedCount: removed, lostCount: lost }
      },
      { params: repositoryParams, body: RewindBody, ...REPOSITORY_OPERATIONS.rewind },
    )
    .get(
      '/:repository/history',
      async ({ principal, params: { repository }, query }) =>
        mapPage(await history.moves(repository, undefined, query), (line) => toMove(line, principal)),
      { params: repositoryParams, query: PageQuery, ...REPOSITORY_OPERATIONS.history },
    )
}

/** GET /api/v1/repositories/:repository/pulls */
export function pulls(context: AdminContext) {
  const { pullCounts } = context.content
  return controller(context, 'pulls', '/repositories/:repository/pulls').get(
    '',
    async ({ params: { repository }, query: { tag, ...query } }) =>
      mapPage(
        await pullCounts.list(repository, tag === undefined ? undefined : parseTag(tag), query),
        ({ pulls: pullCount, ...row }) => omitAbsent({ ...row, pullCount }),
      ),
    { params: t.Object({ repository: RepositoryParam }), query, ...list },
  )
}

const tagParams = t.Object({ repository: RepositoryParam, tag: TagParam })

/** Below /api/v1/repositories/:repository/tags: GET; GET, PUT, PATCH and DELETE /:tag; GET .../history; POST .../restore */
export function tags(context: AdminContext) {
  const { tags, history } = context.content
  const show = async ({ repository, tag }: NamedTag) => toTag(await tags.get(repository, tag))
  return controller(context, 'tags', '/repositories/:repository/tags')
    .get(
      '',
      async ({ params: { repository }, query }) => mapPage(await tags.list(repository, query), toTag),
      { params: t.Object({ repository: RepositoryParam }), query: TagsQuery, ...TAG_OPERATIONS.list },
    )
    .get('/:tag', ({ params: tagParams }) => show(tagParams), { params: tagParams, ...TAG_OPERATIONS.get })
    .put(
      '/:tag',
      async ({ principal, params: tagParams, body: { digest }, set }) => {
        markCreated(set, await tags.put(principal.act(), tagParams, digest))
        return await show(tagParams)
      },
      { params: tagParams, body: TagTarget, ...TAG_OPERATIONS.put },
    )
    .patch(
      '/:tag',
      async ({ principal, params: tagParams, body: { expiresAt } }) => {
        await tags.expire(principal.act(), tagParams, expiresAt === null ? null : Date.parse(expiresAt))
        return await show(tagParams)
      },
      { params: tagParams, body: TagChange, ...TAG_OPERATIONS.change },
    )
    .delete('/:tag', ({ principal, params: tagParams }) => tags.delete(principal.act(), tagParams), {
      params: tagParams,
      ...TAG_OPERATIONS.remove,
    })
    .get(
      '/:tag/history',
      async ({ principal, params: { repository, tag }, query }) =>
        mapPage(await history.moves(repository, tag, query), (line) => toMove(line, principal)),
      { params: tagParams, query: PageQuery, ...TAG_OPERATIONS.history },
    )
    .post(
      '/:tag/restore',
      async ({ principal, params: tagParams, body: { digest, at = '' } }) => {
        if ((digest === undefined) === (at === '')) {
          throw registryError('REQUEST_INVALID', 'the body: give either digest or at')
        }
        const to = digest === undefined ? { at: Date.parse(at) } : { digest }
        await tags.restore(principal.act(), tagParams, to)
        return await show(tagParams)
      },
      { params: tagParams, body: TagRestore, ...TAG_OPERATIONS.restore },
    )
}

function toTag({ size: bytes, pulls: pullCount, outline, ...tag }: DescribedTag) {
  return omitAbsent({ ...tag, bytes, pullCount, ...outline })
}

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
      {
        params: t.Object({ repository: RepositoryParam }),
        query: ManifestsQuery,
        ...MANIFEST_OPERATIONS.list,
      },
    )
    .get(
      '/:reference',
      async ({ params: { repository, reference } }) =>
        toManifest(await manifests.describe(repository, reference)),
      { params, ...MANIFEST_OPERATIONS.get },
    )
    .get('/:reference/raw', ({ params: { repository, reference } }) => raw(registry, repository, reference), {
      params,
      ...MANIFEST_OPERATIONS.raw,
    })
    .get(
      '/:reference/referrers',
      async ({ params: { repository, reference } }) => {
        const { digest, referrers, truncated } = await manifests.referrers(repository, reference)
        return { digest, referrers: referrers.map((one) => toReferrer(one, REFERRERS_DEPTH_MAX)), truncated }
      },
      { params, ...MANIFEST_OPERATIONS.referrers },
    )
    .delete(
      '/:reference',
      ({ principal, params: { repository, reference: digest } }) =>
        manifests.delete(principal.act(), repository, digest),
      { params: digestParams, ...MANIFEST_OPERATIONS.remove },
    )
    .post(
      '/:reference/restore',
      async ({ principal, params: { repository, reference: digest } }) => ({
        tags: await manifests.restore(principal.act(), repository, digest),
      }),
      { params: digestParams, ...MANIFEST_OPERATIONS.restore },
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

/** Returns the fields that lists and descriptions share. */
function toMembers<T extends Omit<ManifestSummary, 'restorableUntil'>>({ size: bytes, ...manifest }: T) {
  return omitAbsent({ ...manifest, bytes })
}

/** Converts the description of a manifest to a response. */
function toManifest(manifest: ManifestDescription) {
  const { config, layers, history, manifests, image } = manifest
  return omitAbsent({
    ...toMembers(manifest),
    labels: image?.labels ?? {},
    config: config && toPart(config),
    layers: layers.map(toPart),
    history: history.map(omitAbsent),
    manifests: manifests.map(toPart),
    image: image && omitAbsent({ ...image, platform: image.platform && omitAbsent(image.platform) }),
  })
}

/** Converts a referrer and its referrers, down to the depth of the schema. */
function toReferrer({ size: bytes, ...referrer }: Referrer, depth: number): object {
  const referrers = depth === 1 ? undefined : referrer.referrers.map((one) => toReferrer(one, depth - 1))
  return omitAbsent({ ...referrer, bytes, referrers })
}

function toPart<T extends Part>({ size: bytes, annotations, platform, ...part }: T) {
  const isAnnotated = Object.keys(annotations).length > 0
  return omitAbsent({
    ...part,
    bytes,
    annotations: isAnnotated ? annotations : undefined,
    platform: platform && omitAbsent(platform),
  })
}

/** Converts a repository to an entry of a list. */
function toRepository(summary: RepositorySummary) {
  const { blobBytes: bytes, tags: tagCount, ownBytes: uniqueBytes, pulls, pushes, ...rest } = summary
  return omitAbsent({ ...rest, tagCount, bytes, uniqueBytes, pullCount: pulls, pushCount: pushes })
}
