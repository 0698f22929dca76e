import type { Principal } from '../access/access.ts'
import { toMove } from '../history/history.ts'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { markCreated } from '../http/operation.ts'
import { INERT } from '../http/origin.ts'
import { mapPage, timeOf } from '../http/schemas.ts'
import { registryError } from '../oci/error.ts'
import type { Part } from '../oci/manifest.ts'
import { parseTag, type RepositoryName } from '../oci/reference.ts'
import type { UploadProgress } from '../storage/blob-store.ts'
import type { ManifestDescription } from './content.ts'
import { REFERRERS_DEPTH_MAX } from './limits.ts'
import type { ManifestSummary, Referrer } from './manifests.ts'
import { ROUTES } from './models.ts'
import type { RepositorySummary } from './repositories.ts'
import { CANDIDATES_MAX, ROUTES as STORAGE_ROUTES } from './storage-models.ts'
import type { RepositoryStorage } from './store.ts'
import type { DescribedTag, NamedTag } from './tags.ts'

/** Below /api/v1/repositories: GET; GET, PUT, PATCH and DELETE /:repository; POST .../restore, .../rewind; GET .../history */
export function repositories(context: AdminContext) {
  const { repositories, history } = context.content
  const one = ROUTES['repositories/:repository']
  const show = async (principal: Principal, repository: RepositoryName) =>
    toRepository(await repositories.get(principal, repository))
  return controller(context, 'repositories', '/repositories')
    .get(
      '',
      async ({ principal, query }) => mapPage(await repositories.list(principal, query), toRepository),
      ROUTES.repositories.get,
    )
    .get('/:repository', ({ principal, params: { repository } }) => show(principal, repository), one.get)
    .put(
      '/:repository',
      async ({ principal, params: { repository }, body, set }) => {
        markCreated(set, await repositories.put(principal.act(), repository, body))
        return await show(principal, repository)
      },
      one.put,
    )
    .patch(
      '/:repository',
      async ({ principal, params: { repository }, body }) => {
        await repositories.change(principal.act(), repository, body)
        return await show(principal, repository)
      },
      one.patch,
    )
    .delete(
      '/:repository',
      ({ principal, params: { repository } }) => repositories.delete(principal.act(), repository),
      one.delete,
    )
    .post(
      '/:repository/restore',
      async ({ principal, params: { repository }, body: { deletedAt } }) => {
        const time = deletedAt === undefined ? undefined : Date.parse(deletedAt)
        await repositories.restore(principal.act(), repository, time)
        return await show(principal, repository)
      },
      ROUTES['repositories/:repository/restore'].post,
    )
    .post(
      '/:repository/rewind',
      async ({ principal, params: { repository }, body: { at } }) => {
        const rewound = await repositories.rewind(principal.act(), repository, Date.parse(at))
        const { restored, removed, lost } = rewound
        return { restoredCount: restored, deletedCount: removed, lostCount: lost }
      },
      ROUTES['repositories/:repository/rewind'].post,
    )
    .get(
      '/:repository/history',
      async ({ principal, params: { repository }, query }) =>
        mapPage(await history.moves(repository, undefined, query), (line) => toMove(line, principal)),
      ROUTES['repositories/:repository/history'].get,
    )
}

function toRepository(summary: RepositorySummary) {
  const { blobBytes: bytes, tags: tagCount, ownBytes: uniqueBytes, pulls, pushes, ...rest } = summary
  return omitAbsent({ ...rest, tagCount, bytes, uniqueBytes, pullCount: pulls, pushCount: pushes })
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
    ROUTES['repositories/:repository/pulls'].get,
  )
}

/** Below /api/v1/repositories/:repository/tags: GET; GET, PUT, PATCH and DELETE /:tag; GET .../history; POST .../restore */
export function tags(context: AdminContext) {
  const { tags, history } = context.content
  const one = ROUTES['repositories/:repository/tags/:tag']
  const show = async ({ repository, tag }: NamedTag) => toTag(await tags.get(repository, tag))
  return controller(context, 'tags', '/repositories/:repository/tags')
    .get(
      '',
      async ({ params: { repository }, query }) => mapPage(await tags.list(repository, query), toTag),
      ROUTES['repositories/:repository/tags'].get,
    )
    .get('/:tag', ({ params }) => show(params), one.get)
    .put(
      '/:tag',
      async ({ principal, params, body: { digest }, set }) => {
        markCreated(set, await tags.put(principal.act(), params, digest))
        return await show(params)
      },
      one.put,
    )
    .patch(
      '/:tag',
      async ({ principal, params, body: { expiresAt } }) => {
        await tags.expire(principal.act(), params, expiresAt === null ? null : Date.parse(expiresAt))
        return await show(params)
      },
      one.patch,
    )
    .delete('/:tag', ({ principal, params }) => tags.delete(principal.act(), params), one.delete)
    .get(
      '/:tag/history',
      async ({ principal, params: { repository, tag }, query }) =>
        mapPage(await history.moves(repository, tag, query), (line) => toMove(line, principal)),
      ROUTES['repositories/:repository/tags/:tag/history'].get,
    )
    .post(
      '/:tag/restore',
      async ({ principal, params, body: { digest, at = '' } }) => {
        if ((digest === undefined) === (at === '')) {
          throw registryError('REQUEST_INVALID', 'the body: give either digest or at')
        }
        const to = digest === undefined ? { at: Date.parse(at) } : { digest }
        await tags.restore(principal.act(), params, to)
        return await show(params)
      },
      ROUTES['repositories/:repository/tags/:tag/restore'].post,
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
  const one = ROUTES['repositories/:repository/manifests/:reference']
  return controller(context, 'manifests', '/repositories/:repository/manifests')
    .get(
      '',
      async ({ principal, params: { repository }, query }) =>
        mapPage(await manifests.list(principal, repository, query), toMembers),
      ROUTES['repositories/:repository/manifests'].get,
    )
    .get(
      '/:reference',
      async ({ params: { repository, reference } }) =>
        toManifest(await manifests.describe(repository, reference)),
      one.get,
    )
    .get(
      '/:reference/raw',
      async ({ params: { repository, reference } }) => {
        const { bytes, mediaType, digest } = await registry.manifests.get(repository, reference)
        const named = {
          'content-type': mediaType,
          'docker-content-digest': digest,
          'cache-control': 'private, no-cache',
        }
        return new Response(new Uint8Array(bytes), { headers: { ...INERT, ...named } })
      },
      ROUTES['repositories/:repository/manifests/:reference/raw'].get,
    )
    .get(
      '/:reference/referrers',
      async ({ params: { repository, reference } }) => {
        const { digest, referrers, truncated } = await manifests.referrers(repository, reference)
        return { digest, referrers: referrers.map((one) => toReferrer(one, REFERRERS_DEPTH_MAX)), truncated }
      },
      ROUTES['repositories/:repository/manifests/:reference/referrers'].get,
    )
    .delete(
      '/:reference',
      ({ principal, params: { repository, reference: digest } }) =>
        manifests.delete(principal.act(), repository, digest),
      one.delete,
    )
    .post(
      '/:reference/restore',
      async ({ principal, params: { repository, reference: digest } }) => ({
        tags: await manifests.restore(principal.act(), repository, digest),
      }),
      ROUTES['repositories/:repository/manifests/:reference/restore'].post,
    )
}

/** Returns the fields that lists and descriptions share. */
function toMembers<T extends Omit<ManifestSummary, 'restorableUntil'>>({ size: bytes, ...manifest }: T) {
  return omitAbsent({ ...manifest, bytes })
}

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

/** GET /api/v1/storage, /api/v1/storage/repositories */
export function storage(context: AdminContext) {
  const { storage, damage, garbage, reserve } = context.content
  return controller(context, 'storage', '/storage')
    .get(
      '',
      async () => {
        const { disk, ...totals } = await storage.totals()
        return {
          ...totals,
          disk: { ...disk, freeBytesMin: reserve.bytesMin },
          damagedCount: await damage.count(),
        }
      },
      STORAGE_ROUTES.storage.get,
    )
    .get(
      '/repositories',
      async ({ query }) => {
        const isByBytes = query.sort === 'bytes'
        const deleted = isByBytes ? await garbage.bytesByRepository(CANDIDATES_MAX) : undefined
        return mapPage(await storage.list(query), (row) => toInRepository(row, deleted))
      },
      STORAGE_ROUTES['storage/repositories'].get,
    )
}

function toInRepository(
  { name, blobs, bytes, ownBytes, upstream, deletedAt }: RepositoryStorage,
  deleted: ReadonlyMap<string, number> | undefined,
) {
  // All of a deleted repository will be deleted.
  const deletedBytes = deletedAt === null ? Math.min(deleted?.get(name) ?? 0, bytes) : bytes
  return {
    repository: name,
    ...(deletedAt !== null && { deletedAt: timeOf(deletedAt) }),
    blobCount: blobs,
    bytes,
    uniqueBytes: ownBytes,
    sharedBytes: bytes - ownBytes,
    cachedBytes: upstream === null ? 0 : bytes,
    ...(deleted && { deletedBytes }),
  }
}

/** GET /api/v1/repositories/:repository/blobs/:digest */
export function blobContent(context: AdminContext) {
  return controller(context, 'blobs', '/repositories/:repository/blobs').get(
    '/:digest',
    ({ request, params: { repository, digest } }) => context.sendBlob(request, repository, digest),
    STORAGE_ROUTES['repositories/:repository/blobs/:digest'].get,
  )
}

/** GET /api/v1/blobs/:digest */
export function blobs(context: AdminContext) {
  return controller(context, 'blobs', '/blobs').get(
    '/:digest',
    async ({ principal, params: { digest }, query }) => {
      const { size: bytes, uses, ...times } = await context.content.blobs.describe(principal, digest, query)
      return omitAbsent({ digest, bytes, ...times, ...mapPage(uses, omitAbsent) })
    },
    STORAGE_ROUTES['blobs/:digest'].get,
  )
}

/** GET /api/v1/uploads; DELETE /api/v1/uploads/:id */
export function uploads(context: AdminContext) {
  const { uploads } = context.content
  return controller(context, 'uploads', '/uploads')
    .get('', async ({ query }) => mapPage(await uploads.list(query), toUpload), STORAGE_ROUTES.uploads.get)
    .delete(
      '/:id',
      ({ principal, params: { id } }) => uploads.cancel(principal.act(), id),
      STORAGE_ROUTES['uploads/:id'].delete,
    )
}

function toUpload({ name, scope, size, beganAt, changedAt }: UploadProgress) {
  return omitAbsent({ id: name, repository: scope, bytes: size, startedAt: beganAt, updatedAt: changedAt })
}

/** GET /api/v1/digests */
export function digests(context: AdminContext) {
  return controller(context, 'blobs', '/digests').get(
    '',
    async ({ principal, query: { prefix, repository } }) => ({
      items: await context.content.digests.find(principal, prefix, repository),
    }),
    STORAGE_ROUTES.digests.get,
  )
}

/** GET /api/v1/search */
export function search(context: AdminContext) {
  return controller(context, 'repositories', '/search').get(
    '',
    async ({ principal, query: { q } }) => {
      const { repositories, tags, manifests, labels } = await context.content.search.find(principal, q)
      return {
        repositories: {
          ...repositories,
          items: repositories.items.map(({ blobBytes: bytes, ...row }) => ({ ...row, bytes })),
        },
        tags: { ...tags, items: tags.items.map(({ tag: name, ...row }) => ({ ...row, name })) },
        manifests,
        labels,
      }
    },
    STORAGE_ROUTES.search.get,
  )
}
