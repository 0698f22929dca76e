import { t } from 'elysia'
import type { RepositoryStorage, StorageCursor } from '../../../metadata/content/storage.ts'
import { type AdminContext, controller } from '../context.ts'
import { cursorOf, parseCursor } from '../cursor.ts'
import { operation } from '../operation.ts'
import { Bytes, Count, integer, page, pageOf, pageParameters, RepositoryText } from '../schemas.ts'

/** Files of uploads that are looked at to sum their bytes. */
const UPLOADS_MAX = 10_000

const Storage = t.Object(
  {
    blobs: t.Object(
      { count: Count, bytes: Bytes },
      { description: 'Each once, whichever repositories link it' },
    ),
    uploads: t.Object(
      { count: Count, bytes: Bytes },
      { description: `In progress; at most ${UPLOADS_MAX} count` },
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
    description: 'Bytes of all blobs that it links, also of those that wait for the collector',
  }),
  ownBytes: integer({ minimum: 0, description: 'Bytes of those that no other repository links' }),
  sharedBytes: integer({ minimum: 0, description: 'Bytes of those that another repository links, too' }),
})

const OPERATIONS = {
  get: operation({
    id: 'getStorage',
    summary: 'How much is stored, and what is free',
    access: 'admin',
    answer: Storage,
  }),
  repositories: operation({
    id: 'listStorage',
    summary: 'How much each repository stores',
    access: 'admin',
    answer: pageOf(InRepository, 'Repositories, by name or the largest first'),
  }),
}

const RepositoriesQuery = t.Object({
  ...pageParameters,
  sort: t.Optional(
    t.UnionEnum(['name', 'bytes'], { default: undefined, description: 'By name, when it is left out' }),
  ),
})

/** GET /api/v1/storage, /api/v1/storage/repositories */
export function storage(context: AdminContext) {
  const { metadata, content } = context
  return controller(context, 'storage', '/storage')
    .get(
      '',
      async () => {
        const { blobs: count, bytes } = metadata.storage.totals()
        const [uploads, disk] = await Promise.all([content.uploads.measure(UPLOADS_MAX), content.disk()])
        return { blobs: { count, bytes }, uploads: { count: uploads.uploads, bytes: uploads.bytes }, disk }
      },
      OPERATIONS.get,
    )
    .get(
      '/repositories',
      ({ query }) => {
        const isByBytes = query.sort === 'bytes'
        const cursor = isByBytes ? bytesCursor(query.last) : ({ by: 'name', name: query.last ?? '' } as const)
        return page(
          query,
          (limit) => metadata.storage.list(cursor, limit),
          ({ name, bytes, id }) => (isByBytes ? cursorOf(bytes, id) : name),
          toInRepository,
        )
      },
      { query: RepositoriesQuery, ...OPERATIONS.repositories },
    )
}

function bytesCursor(last: string | undefined): StorageCursor {
  const [bytes = 0, id = 0] = parseCursor(last, Number.MAX_SAFE_INTEGER, 0)
  return { by: 'bytes', bytes, id }
}

function toInRepository({ name, blobs, bytes, ownBytes }: RepositoryStorage) {
  return { repository: name, blobs, bytes, ownBytes, sharedBytes: bytes - ownBytes }
}
