import { t } from 'elysia'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { operation } from '../operation.ts'
import { Bytes, DigestText, oneOf, pageOf, RepositoryText, Time } from '../schemas.ts'

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

const OPERATIONS = {
  list: operation('listDamage', 'admin', 'List damaged content', {
    answer: pageOf(Damage, 'Damaged content, the newest first; never more than one page'),
    description: 'Damaged content is not served. It heals when a client pushes the same digest again.',
  }),
}

/** GET /api/v1/damage */
export function damage(context: AdminContext) {
  return controller(context, 'damage', '/damage').get(
    '',
    async () => {
      const found = await context.content.damage.list()
      return {
        items: found.map(({ size: bytes, neededBy, ...one }) =>
          omitAbsent({ ...one, bytes, neededBy: neededBy.map(omitAbsent) }),
        ),
      }
    },
    OPERATIONS.list,
  )
}
