import { t } from 'elysia'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { DigestText, pageOf, RepositoryParam } from '../schemas.ts'

const OPERATIONS = {
  find: operation('findDigests', 'catalog', 'Find the digests that begin with a prefix', {
    description:
      'Finds manifests and blobs of one repository, or, for server admins, of all. Returns at most ten.',
    answer: pageOf(DigestText, 'Digests; never more than one page'),
    errors: ['DIGEST_INVALID', 'NAME_INVALID', 'NAME_UNKNOWN'],
  }),
}

/** GET /api/v1/digests */
export function digests(context: AdminContext) {
  return controller(context, 'blobs', '/digests').get(
    '',
    async ({ principal, query: { prefix, repository } }) => ({
      items: await context.content.digests.find(principal, prefix, repository),
    }),
    {
      query: t.Object({
        prefix: t.String({
          maxLength: 135,
          description: 'The algorithm and at least six hex characters',
          example: 'sha256:000000000000',
        }),
        repository: t.Optional(RepositoryParam),
      }),
      ...OPERATIONS.find,
    },
  )
}
