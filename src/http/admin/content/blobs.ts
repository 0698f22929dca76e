import { t } from 'elysia'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import {
  Bytes,
  DigestParam,
  DigestText,
  mapPage,
  NextCursor,
  PageQuery,
  RepositoryParam,
  RepositoryText,
  Time,
  time,
} from '../schemas.ts'

const Use = t.Object({
  repository: RepositoryText,
  linkedAt: Time,
  unreferencedAt: t.Optional(time('Since when no manifest of the repository references it')),
})

const Blob = t.Object(
  {
    digest: DigestText,
    bytes: Bytes,
    storedAt: t.Optional(time('Server admins only')),
    verifiedAt: t.Optional(time('When its bytes were last hashed; server admins only')),
    items: t.Array(Use, { description: 'The repositories that have it, of those that you may pull from' }),
    nextCursor: NextCursor,
  },
  { description: 'A blob' },
)

const OPERATIONS = {
  get: operation('getBlob', 'catalog', 'Show a blob and where it is used', {
    answer: Blob,
    errors: ['BLOB_UNKNOWN', 'DIGEST_INVALID'],
  }),
  download: operation('downloadBlob', 'pull', 'Download a blob', {
    etag: true,
    ranges: true,
    description: 'Supports ranges. Browsers store it as a file and never run it, whatever it is.',
    answer: t.String({ format: 'binary', description: 'The blob' }),
    mediaType: '*/*',
    errors: ['NAME_UNKNOWN', 'NAME_INVALID', 'BLOB_UNKNOWN', 'DIGEST_INVALID'],
  }),
}

/** GET /api/v1/repositories/:repository/blobs/:digest */
export function blobContent(context: AdminContext) {
  return controller(context, 'blobs', '/repositories/:repository/blobs').get(
    '/:digest',
    ({ request, params: { repository, digest } }) => context.sendBlob(request, repository, digest),
    { params: t.Object({ repository: RepositoryParam, digest: DigestParam }), ...OPERATIONS.download },
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
    { params: t.Object({ digest: DigestParam }), query: PageQuery, ...OPERATIONS.get },
  )
}
