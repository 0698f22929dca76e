import { t } from 'elysia'
import type { BlobUse } from '../../../metadata/content/blob-uses.ts'
import { registryError } from '../../../oci/error.ts'
import { type AdminContext, controller } from '../context.ts'
import { cursorOf, parseCursor } from '../cursor.ts'
import { operation } from '../operation.ts'
import { present } from '../present.ts'
import { Bytes, DigestParam, DigestText, PageQuery, page, RepositoryText, Time, timeOf } from '../schemas.ts'

const Use = t.Object({
  repository: RepositoryText,
  linkedAt: Time,
  unreferencedAt: t.Optional(
    t.String({ format: 'date-time', description: 'Since when no manifest of the repository names it' }),
  ),
})

const Blob = t.Object(
  {
    digest: DigestText,
    bytes: Bytes,
    storedAt: t.Optional(t.String({ format: 'date-time', description: 'For a server admin only' })),
    items: t.Array(Use, { description: 'Repositories that hold it and that you may pull from' }),
    next: t.Optional(t.String()),
  },
  { description: 'A blob' },
)

const OPERATIONS = {
  get: operation({
    id: 'getBlob',
    summary: 'Show a blob, and where it is used',
    access: 'catalog',
    answer: Blob,
    errors: ['BLOB_UNKNOWN', 'DIGEST_INVALID'],
  }),
}

/** GET /api/v1/blobs/:digest */
export function blobs(context: AdminContext) {
  const { metadata } = context
  return controller(context, 'blobs', '/blobs').get(
    '/:digest',
    ({ asker, params: { digest }, query }) => {
      const [last = 0] = parseCursor(query.last, 0)
      const blob = metadata.blobUses.find(digest)
      // Whoever sees none of its repositories does not hear that it is here.
      if (blob === undefined || metadata.blobs.findSource(digest, asker.pullable()) === undefined) {
        throw registryError('BLOB_UNKNOWN', `no repository that you may pull from has a blob ${digest}`)
      }
      const uses = page(
        query,
        (limit) => metadata.blobUses.list(blob.id, asker.pullable(), last, limit),
        ({ repositoryId }) => cursorOf(repositoryId),
        toUse,
      )
      // It may have come here by a repository that the asker may not see.
      const storedAt = asker.isAdmin ? { storedAt: timeOf(blob.storedAt) } : {}
      return { digest, bytes: blob.size, ...storedAt, ...uses }
    },
    { params: t.Object({ digest: DigestParam }), query: PageQuery, ...OPERATIONS.get },
  )
}

function toUse({ repository, linkedAt, unreferencedAt }: BlobUse) {
  return present({
    repository,
    linkedAt: timeOf(linkedAt),
    unreferencedAt: unreferencedAt === null ? undefined : timeOf(unreferencedAt),
  })
}
