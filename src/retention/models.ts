import { t } from 'elysia'
import { RETENTION_SETTINGS, RetentionSchema } from '../config/schema.ts'
import { operation, type Route } from '../http/operation.ts'
import {
  ConfiguredIn,
  DigestText,
  oneOf,
  pageOf,
  pageParameters,
  RepositoryText,
  Time,
} from '../http/schemas.ts'
import { REPOSITORY_NAME_CHARACTERS_MAX } from '../oci/reference.ts'

const { repositories, ...optional } = RETENTION_SETTINGS

const PolicyModel = t.Object(
  { ...RetentionSchema.properties, configuredIn: ConfiguredIn },
  { description: 'A retention policy' },
)

/** Refuses unknown settings. With `additionalProperties: false`, Elysia would drop them silently. */
export const PolicyBody = t.Object(
  { repositories, ...t.Partial(t.Object(optional)).properties },
  { additionalProperties: t.Never(), example: { repositories: ['ci/**'], newest: 10 } },
)

/** Patterns are ASCII. All lists together must fit in the URL, which Bun limits to 16 KiB. */
const list = (description: string, example: string) =>
  t.Optional(
    t.String({
      maxLength: 512,
      pattern: '^[\\x20-\\x7e]*$',
      description: `${description}, separated by commas`,
      example,
    }),
  )

const { newest, pushedDays, pulledDays, untaggedDays } = optional

export const TestQuery = t.Object({
  ...pageParameters,
  repository: t.Optional(
    t.String({
      maxLength: REPOSITORY_NAME_CHARACTERS_MAX,
      description: 'Only this repository',
      example: 'library/alpine',
    }),
  ),
  expiring: t.Optional(t.Boolean({ description: 'Only tags that would expire [false]' })),
  policy: t.Optional(
    t.String({
      ...RetentionSchema.properties.name,
      description: 'A policy to test with the settings below, as if it were set',
    }),
  ),
  repositories: list('Patterns of its repositories', 'ci/**'),
  tags: list('Patterns of the tags that can expire', 'pr-*'),
  keep: list('Patterns of the tags to keep', 'v*'),
  newest: t.Optional(t.Integer({ ...newest, description: 'Keep this many of the newest tags' })),
  order: t.Optional(oneOf(['pushed', 'version'], 'What newest orders by')),
  pushedDays: t.Optional(t.Integer({ ...pushedDays })),
  pulledDays: t.Optional(t.Integer({ ...pulledDays })),
  untaggedDays: t.Optional(t.Integer({ ...untaggedDays })),
  includeImmutable: t.Optional(t.Boolean({ description: 'Whether immutable tags can expire, too [false]' })),
})

const TestedModel = t.Object({
  repository: RepositoryText,
  tag: t.String({ example: 'pr-7' }),
  digest: DigestText,
  expires: t.Boolean(),
  policy: t.Optional(t.String({ description: 'The policy that decided', example: 'ci' })),
  reason: t.String({ example: 'not one of the newest 10 by push time' }),
  pushedAt: Time,
  lastPulledAt: t.Optional(Time),
})

export const OPERATIONS = {
  list: operation('listRetentionPolicies', 'admin', 'List the retention policies', {
    answer: pageOf(PolicyModel, 'Policies, by name; never more than one page'),
  }),
  get: operation('getRetentionPolicy', 'admin', 'Show a retention policy', {
    answer: PolicyModel,
    etag: 'partial',
    errors: ['NOT_FOUND'],
  }),
  put: operation('putRetentionPolicy', 'admin', 'Add a retention policy, or replace its settings', {
    answer: PolicyModel,
    creates: 'unless-it-exists',
    etag: true,
    description:
      'Takes effect with the next run. What any policy of a repository keeps stays. Omitted settings have ' +
      'their defaults.',
    errors: ['CONFLICT', 'NAME_INVALID'],
  }),
  remove: operation(
    'deleteRetentionPolicy',
    'admin',
    'Delete a retention policy; tags that it has expired stay expired',
    { etag: true, errors: ['CONFLICT', 'NOT_FOUND'] },
  ),
  test: operation(
    'testRetention',
    'admin',
    'List what the retention policies would do with each tag, and why',
    {
      answer: pageOf(
        TestedModel,
        'Tags by repository and name; a page can be short, and still have a next one',
      ),
      errors: ['NAME_UNKNOWN', 'NAME_INVALID'],
    },
  ),
}

/** The routes below /api/v1, for the page and the commands. */
export type RetentionRoutes = {
  'retention/test': { get: Route<typeof OPERATIONS.test, { query: typeof TestQuery }> }
  'retention/policies/:name': {
    delete: Route<typeof OPERATIONS.remove>
    put: Route<typeof OPERATIONS.put, { body: typeof PolicyBody }>
    get: Route<typeof OPERATIONS.get>
  }
  'retention/policies': { get: Route<typeof OPERATIONS.list> }
}
