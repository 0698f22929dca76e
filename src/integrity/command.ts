import { columns } from '../cli/output.ts'
import { lists, type Noun } from '../cli/verb.ts'
import type { ItemOf } from '../http/operation.ts'
import type { IntegrityRoutes } from './models.ts'

/** `cay damage` */
export const damage: Noun = {
  summary: 'List content whose bytes are damaged or missing',
  byDefault: 'list',
  verbs: {
    list: lists(
      'List damaged content, and the repositories and tags that need it',
      '/damage',
      'There is no damaged content.',
      columns('digest, kind, size: bytes, foundAt, neededBy | users', { users: formatUsers }),
    ),
  },
}

function formatUsers(value: unknown): string {
  return (value as ItemOf<IntegrityRoutes, 'damage'>['neededBy'])
    .map(({ repository, tag }) => (tag === undefined ? repository : `${repository}:${tag}`))
    .join(', ')
}
