import { t } from 'elysia'
import { type RepositoryStorage, UPLOADS_COUNTED_MAX } from '../../../core/content/storage.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import {
  Bytes,
  Count,
  count,
  mapPage,
  oneOf,
  pageOf,
  pageParameters,
  RepositoryText,
  time,
  timeOf,
} from '../schemas.ts'

const Storage = t.Object(
  {
    blobs: t.Object(
      { count: Count, bytes: Bytes },
      { description: 'Each blob is counted once, however many repositories have it' },
    ),
    uploads: t.Object(
      { count: Count, bytes: Bytes },
      { description: `Uploads in progress; at most ${UPLOADS_COUNTED_MAX} are counted` },
    ),
    disk: t.Object(
      {
        totalBytes: Bytes,
        freeBytes: Bytes,
        freeBytesMin: count('How many bytes must be free, or the server is not ready; 0 for no limit'),
      },
      { description: 'The disk that holds the data folder' },
    ),
    damagedCount: count('Blobs and manifests whose bytes are damaged or missing; /damage lists them'),
  },
  { description: 'Storage usage' },
)

/** How many candidates of garbage collection are examined for a list. */
const CANDIDATES_MAX = 500

const InRepository = t.Object({
  repository: RepositoryText,
  deletedAt: t.Optional(time('When it was deleted; it is listed while its bytes count')),
  blobCount: Count,
  bytes: count('Total size of its blobs, including those that will be deleted, in bytes'),
  uniqueBytes: count('Total size of the blobs that no other repository has, in bytes'),
  sharedBytes: count('Total size of the blobs that other repositories also have, in bytes'),
  cachedBytes: count('Total size of its blobs if they were cached from an upstream, otherwise 0, in bytes'),
  deletedBytes: t.Optional(
    count(
      'Total size of what the garbage collector will delete of it, in bytes, as far as the next ' +
        `${CANDIDATES_MAX} candidates tell; only in the order of \`bytes\``,
    ),
  ),
})

const OPERATIONS = {
  get: operation('getStorage', 'admin', 'Show used and free storage', { answer: Storage }),
  repositories: operation('listRepositoryStorage', 'admin', 'List the storage of each repository', {
    answer: pageOf(InRepository, 'Repositories, by name, or largest first with deleted ones'),
  }),
}

const RepositoriesQuery = t.Object({
  ...pageParameters,
  sort: t.Optional(oneOf(['name', 'bytes'], 'The order [name]')),
})

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
    .get('', show, OPERATIONS.get)
    .get(
      '/repositories',
      async ({ query }) => {
        const isByBytes = query.sort === 'bytes'
        const deleted = isByBytes ? await garbage.bytesByRepository(CANDIDATES_MAX) : undefined
        return mapPage(await storage.list(query), (row) => toInRepository(row, deleted))
      },
      { query: RepositoriesQuery, ...OPERATIONS.repositories },
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
