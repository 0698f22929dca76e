import { type Field, field } from '../../output/format.ts'
import { withQuery } from '../../remote/admin-client.ts'
import type { Noun } from '../../verb.ts'

const REPOSITORY = field('repository', 'repository')
const DIGEST = field('digest', 'digest', 'short digest')
const KIND = field('kind', 'kind')

const NONE: Group = { items: [], truncated: false }

/** `cay search` */
export const search: Noun = {
  summary: 'Search repositories, tags, digests and labels',
  byDefault: 'find',
  verbs: {
    find: {
      usage: '<text>',
      summary:
        'Find repositories by part of their name, and tags and manifests by the beginning of a tag, digest or label',
      run: async ({ client, args: [text], terminal }) => {
        const value = await client.request<Found>('GET', withQuery('/search', { q: text }))
        const table = (title: string, { items, truncated }: Group, columns: readonly Field[]) => ({
          title: truncated ? `${title} (the first ${items.length})` : title,
          items,
          columns,
        })
        const tables = [
          table('Repositories', value.repositories, [field('name', 'name'), field('size', 'bytes', 'bytes')]),
          table('Tags', value.tags, [REPOSITORY, field('tag', 'name'), DIGEST, KIND]),
          table('Manifests', value.manifests, [REPOSITORY, DIGEST, KIND]),
          table('Labels', value.labels ?? NONE, [
            REPOSITORY,
            field('tag', 'tag'),
            DIGEST,
            field('label', 'label'),
          ]),
        ]
        if (tables.every(({ items }) => items.length === 0)) terminal.note(`Nothing was found for "${text}".`)
        return { value, lines: [], tables }
      },
    },
  },
}

interface Group {
  items: readonly unknown[]
  truncated: boolean
}

interface Found {
  repositories: Group
  tags: Group
  manifests: Group
  /** An older server does not search labels. */
  labels?: Group
}
