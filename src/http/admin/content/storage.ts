import { t } from 'elysia'
import { type RepositoryStorage, UPLOADS_COUNTED_MAX } from '../../../core/content/storage.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { Bytes, Count, integer, mapPage, pageOf, pageParameters, RepositoryText } from '../schemas.ts'

const Storage = t.Object(
  {
    blobs: t.Object(
      { count: Count, bytes: Bytes },
      { description: 'Each blob counts once, however many repositories link it' },
    ),
    uploads: t.Object(
      { count: Count, bytes: Bytes },
      { description: `In progress; at most ${UPLOADS_COUNTED_MAX} are counted` },
    ),
    disk: t.Object(
      { totalBytes: Bytes, freeBytes: Bytes },
      { description: 'The disk that the data folder is on' },
    ),
  },
  { description: 'How much is stored' },
)

const InRepository = t.Object({
  repository: RepositoryText,
  blobs: Count,
  bytes: integer({
    minimum: 0,
    description: 'Size of all blobs that it links, including those that await collection, in bytes',
  }),
  ownBytes: integer({
    minimum: 0,
    description: 'Size of the blobs that no other repository links, in bytes',
  }),
  sharedBytes: integer({
    minimum: 0,
    description: 'Size of the blobs that other repositories link, too, in bytes',
  }),
})

const OPERATIONS = {
  get: operation({
    id: 'getStorage',
    summary: 'Show how much is stored, and how much is free',
    access: 'admin',
    answer: Storage,
  }),
  repositories: operation({
    id: 'listStorage',
    summary: 'List how much each repository stores',
    access: 'admin',
    answer: pageOf(InRepository, 'Repositories, by name or the largest first'),
  }),
}

const RepositoriesQuery = t.Object({
  ...pageParameters,
  sort: t.Optional(t.UnionEnum(['name', 'bytes'], { default: undefined, description: 'By name by default' })),
})

/** GET /api/v1/storage, /api/v1/storage/repositories */
export function storage(context: AdminContext) {
  const { storage } = context.content
  return controller(context, 'storage', '/storage')
    .get('', () => storage.totals(), OPERATIONS.get)
    .get('/repositories', async ({ query }) => mapPage(await storage.list(query), toInRepository), {
      query: RepositoriesQuery,
      ...OPERATIONS.repositories,
    })
}

function toInRepository({ name, blobs, bytes, ownBytes }: RepositoryStorage) {
  return { repository: name, blobs, bytes, ownBytes, sharedBytes: bytes - ownBytes }
}
