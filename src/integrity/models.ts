import { t } from 'elysia'
import { operation, type Route } from '../http/operation.ts'
import { Bytes, DigestText, oneOf, pageOf, RepositoryText, Time } from '../http/schemas.ts'

const Damage = t.Object(
  {
    digest: DigestText,
    kind: oneOf(['blob', 'manifest']),
    bytes: Bytes,
    foundAt: Time,
    neededBy: t.Array(t.Object({ repository: RepositoryText, tag: t.Optional(t.String()) }), {
      description: 'The repositories and tags that need it; at most 100',
    }),
  },
  { description: 'Content whose bytes are damaged or missing' },
)

export const OPERATIONS = {
  list: operation('listDamage', 'admin', 'List damaged content', {
    answer: pageOf(Damage, 'Damaged content, the newest first; never more than one page'),
    description: 'Damaged content is not served. It heals when a client pushes the same digest again.',
  }),
}

/** The routes below /api/v1, for the page and the commands. */
export type IntegrityRoutes = {
  damage: { get: Route<typeof OPERATIONS.list> }
}
