import type { Item } from '../../http/admin/answers.ts'
import { field } from '../output/format.ts'
import { lists } from '../remote/requests.ts'
import type { Noun } from '../verb.ts'

/** `cay damage` */
export const damage: Noun = {
  summary: 'List content whose bytes are damaged or missing',
  byDefault: 'list',
  verbs: {
    list: lists(
      'List damaged content, and the repositories and tags that need it',
      '/damage',
      'There is no damaged content.',
      [
        field('digest', 'digest'),
        field('kind', 'kind'),
        field('size', 'bytes', 'bytes'),
        field('found', 'foundAt', 'time'),
        field('needed by', 'neededBy', formatUsers),
      ],
    ),
  },
}

function formatUsers(value: unknown): string {
  return (value as Item<'damage'>['neededBy'])
    .map(({ repository, tag }) => (tag === undefined ? repository : `${repository}:${tag}`))
    .join(', ')
}
