import { t } from 'elysia'
import { RETENTION_SETTINGS, RetentionSchema } from '../../../config/retention-schema.ts'
import type { PolicySettings } from '../../../core/retention/policies.ts'
import { policyOf } from '../../../core/retention/policies.ts'
import { parseRepositoryName, REPOSITORY_NAME_CHARACTERS_MAX } from '../../../oci/reference.ts'
import { type AdminContext, controller } from '../context.ts'
import { omitAbsent } from '../omit-absent.ts'
import { markCreated, operation } from '../operation.ts'
import {
  ConfiguredIn,
  DigestText,
  mapPage,
  oneOf,
  pageOf,
  pageParameters,
  RepositoryText,
  Time,
} from '../schemas.ts'

const { repositories, ...optional } = RETENTION_SETTINGS

const PolicyModel = t.Object(
  { ...RetentionSchema.properties, configuredIn: ConfiguredIn },
  { description: 'A retention policy' },
)

/** Refuses unknown settings. With `additionalProperties: false`, Elysia would drop them silently. */
const PolicyBody = t.Object(
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

const TestQuery = t.Object({
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

const params = t.Object({ name: RetentionSchema.properties.name })

const OPERATIONS = {
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

/** Below /api/v1/retention: GET /policies; GET, PUT and DELETE /policies/:name; GET /test */
export function retention(context: AdminContext) {
  const { retention } = context.content
  const show = async (name: string) => omitAbsent(await retention.policies.get(name))
  return controller(context, 'retention', '/retention')
    .get(
      '/policies',
      async () => ({ items: (await retention.policies.list()).map(omitAbsent) }),
      OPERATIONS.list,
    )
    .get('/policies/:name', ({ params: { name } }) => show(name), { params, ...OPERATIONS.get })
    .put(
      '/policies/:name',
      async ({ principal, params: { name }, body, set }) => {
        markCreated(set, await retention.policies.put(principal.act(), name, body))
        return await show(name)
      },
      { params, body: PolicyBody, ...OPERATIONS.put },
    )
    .delete(
      '/policies/:name',
      ({ principal, params: { name } }) => retention.policies.remove(principal.act(), name),
      { params, ...OPERATIONS.remove },
    )
    .get(
      '/test',
      async ({ query: { cursor, limit, repository, expiring, policy, ...settings } }) => {
        const asked = {
          cursor,
          limit,
          repository: repository === undefined ? undefined : parseRepositoryName(repository),
          expiring,
          policy: policy === undefined ? undefined : policyOf(policy, settingsOf(settings)),
        }
        return mapPage(await retention.test(asked), omitAbsent)
      },
      { query: TestQuery, ...OPERATIONS.test },
    )
}

type Asked = Omit<typeof TestQuery.static, 'cursor' | 'limit' | 'repository' | 'expiring' | 'policy'>

/** Returns the settings that a query names. */
function settingsOf({ repositories = '', tags, keep, ...given }: Asked): PolicySettings {
  return {
    ...given,
    repositories: listOf(repositories),
    ...(tags !== undefined && { tags: listOf(tags) }),
    ...(keep !== undefined && { keep: listOf(keep) }),
  }
}

function listOf(text: string): string[] {
  return text.split(',').filter((one) => one !== '')
}
