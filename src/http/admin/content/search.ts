import { t } from 'elysia'
import { RESULTS_MAX } from '../../../core/content/search.ts'
import { SEARCHABLE_LABEL_BYTES_MAX, SEARCHABLE_LABELS_MAX } from '../../../oci/labels.ts'
import { type AdminContext, controller } from '../context.ts'
import { operation } from '../operation.ts'
import { Bytes, DigestText, RepositoryText } from '../schemas.ts'

const Kind = t.String({ description: 'What kind of artifact it is', example: 'Container image' })

const groupOf = <const P extends Parameters<typeof t.Object>[0]>(properties: P, description: string) =>
  t.Object(
    {
      items: t.Array(t.Object(properties)),
      truncated: t.Boolean({ description: 'Whether there may be more', example: false }),
    },
    { description },
  )

const Found = t.Object(
  {
    repositories: groupOf(
      { name: RepositoryText, description: t.String({ example: 'Base images' }), bytes: Bytes },
      'Repositories with the text in their name or description',
    ),
    tags: groupOf(
      { repository: RepositoryText, name: t.String({ example: 'latest' }), digest: DigestText, kind: Kind },
      'Tags that begin with the text, at most three from each repository',
    ),
    manifests: groupOf(
      { repository: RepositoryText, digest: DigestText, kind: Kind },
      'Manifests whose digest begins with the text',
    ),
    labels: groupOf(
      {
        repository: RepositoryText,
        digest: DigestText,
        tag: t.Nullable(
          t.String({ description: 'The newest tag of the manifest; null without one', example: 'latest' }),
        ),
        label: t.String({ description: 'The label that was found', example: 'env=production' }),
        kind: Kind,
      },
      'Manifests with a label or annotation that begins with the text, at most three from each repository',
    ),
  },
  { description: 'What was found, by kind' },
)

const OPERATIONS = {
  find: operation('search', 'catalog', 'Search repositories, tags, digests and labels', {
    description:
      `Finds only what you may pull, at most ${RESULTS_MAX} of each kind. \`NAME:TAG\` finds tags in the repositories ` +
      'whose name contains NAME. A digest needs at least six hex characters; without an algorithm it is sha256. ' +
      'Labels are those of an image and the annotations of any manifest, as `NAME=VALUE`; upper and lower case differ. ' +
      `The first ${SEARCHABLE_LABELS_MAX} of a manifest are searched, and of each the first ` +
      `${SEARCHABLE_LABEL_BYTES_MAX} bytes.`,
    answer: Found,
  }),
}

/** GET /api/v1/search */
export function search(context: AdminContext) {
  return controller(context, 'repositories', '/search').get(
    '',
    async ({ principal, query: { q } }) => {
      const { repositories, tags, manifests, labels } = await context.content.search.find(principal, q)
      return {
        repositories: {
          ...repositories,
          items: repositories.items.map(({ blobBytes: bytes, ...row }) => ({ ...row, bytes })),
        },
        tags: { ...tags, items: tags.items.map(({ tag: name, ...row }) => ({ ...row, name })) },
        manifests,
        labels,
      }
    },
    {
      query: t.Object({
        q: t.String({
          minLength: 1,
          maxLength: 400,
          description: 'Text to find: part of a repository, or the beginning of a tag, digest or label',
          example: 'alpine',
        }),
      }),
      ...OPERATIONS.find,
    },
  )
}
