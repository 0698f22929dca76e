import { t } from 'elysia'
import type { UploadProgress } from '../../../core/content/uploads.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { Bytes, mapPage, PageQuery, pageOf, Time } from '../schemas.ts'

const UploadName = t.String({
  pattern: '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$',
  description: "The first part of the upload's id; it does not give access to the upload",
  example: '01a20eb4-c836-7331-88bc-0fcfff9ebd41',
})

const Upload = t.Object({
  id: UploadName,
  repository: t.Optional(t.String({ description: 'Known if the upload was used since the server started' })),
  bytes: Bytes,
  startedAt: Time,
  updatedAt: Time,
})

const OPERATIONS = {
  list: operation('listUploads', 'admin', 'List the uploads in progress that have received bytes', {
    answer: pageOf(Upload, 'Uploads, oldest first'),
  }),
  cancel: operation('cancelUpload', 'admin', 'Cancel an upload', {
    description: 'Its bytes are deleted as soon as no request uses it.',
    errors: ['NOT_FOUND'],
  }),
}

/** GET /api/v1/uploads; DELETE /api/v1/uploads/:id */
export function uploads(context: AdminContext) {
  const { uploads } = context.content
  return controller(context, 'uploads', '/uploads')
    .get('', async ({ query }) => mapPage(await uploads.list(query), toUpload), {
      query: PageQuery,
      ...OPERATIONS.list,
    })
    .delete('/:id', ({ principal, params: { id } }) => uploads.cancel(principal.act(), id), {
      params: t.Object({ id: UploadName }),
      ...OPERATIONS.cancel,
    })
}

function toUpload({ name, scope, size, beganAt, changedAt }: UploadProgress) {
  return omitAbsent({ id: name, repository: scope, bytes: size, startedAt: beganAt, updatedAt: changedAt })
}
