import { t } from 'elysia'
import { type AdminContext, controller, omitAbsent } from '../http/controller.ts'
import { DigestParam, mapPage, PageQuery, RepositoryParam, timeOf } from '../http/schemas.ts'
import type { UploadProgress } from '../storage/blob-store.ts'
import {
  BLOB_OPERATIONS,
  CANDIDATES_MAX,
  DIGEST_OPERATIONS,
  DigestFindQuery,
  RepositoriesQuery,
  SEARCH_OPERATIONS,
  SearchFindQuery,
  STORAGE_OPERATIONS,
  UPLOAD_OPERATIONS,
  UploadName,
} from './storage-models.ts'
import type { RepositoryStorage } from './store.ts'

/** GET /api/v1/storage, /api/v1/storage/repositories */
export function storage(context: AdminContext) {
  const { storage, damage, garbage, reserve } = context.content
  const show = async () => {
    const { disk, ...totals } = await storage.totals()
    return {
      ...totals,
      disk: { ...disk, freeBytesMin: reserve.bytesMin },
      damagedCount: await damage.count(),
    }
  }
  return controller(context, 'storage', '/storage')
    .get('', show, STORAGE_OPERATIONS.get)
    .get(
      '/repositories',
      async ({ query }) => {
        const isByBytes = query.sort === 'bytes'
        const deleted = isByBytes ? await garbage.bytesByRepository(CANDIDATES_MAX) : undefined
        return mapPage(await storage.list(query), (row) => toInRepository(row, deleted))
      },
      { query: RepositoriesQuery, ...STORAGE_OPERATIONS.repositories },
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
    { params: t.Object({ repository: RepositoryParam, digest: DigestParam }), ...BLOB_OPERATIONS.download },
  )
}

/** GET /api/v1/blobs/:digest */
export function blobs(context: AdminContext) {
  return controller(context, 'blobs', '/blobs').get(
    '/:digest',
    async ({ principal, params: { digest }, query }) => {
      const {
        size: bytes,
        storedAt,
        verifiedAt,
        uses,
      } = await context.content.blobs.describe(principal, digest, query)
      return omitAbsent({ digest, bytes, storedAt, verifiedAt, ...mapPage(uses, omitAbsent) })
    },
    { params: t.Object({ digest: DigestParam }), query: PageQuery, ...BLOB_OPERATIONS.get },
  )
}

/** GET /api/v1/uploads; DELETE /api/v1/uploads/:id */
export function uploads(context: AdminContext) {
  const { uploads } = context.content
  return controller(context, 'uploads', '/uploads')
    .get('', async ({ query }) => mapPage(await uploads.list(query), toUpload), {
      query: PageQuery,
      ...UPLOAD_OPERATIONS.list,
    })
    .delete('/:id', ({ principal, params: { id } }) => uploads.cancel(principal.act(), id), {
      params: t.Object({ id: UploadName }),
      ...UPLOAD_OPERATIONS.cancel,
    })
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
    {
      query: DigestFindQuery,
      ...DIGEST_OPERATIONS.find,
    },
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
    {
      query: SearchFindQuery,
      ...SEARCH_OPERATIONS.find,
    },
  )
}
