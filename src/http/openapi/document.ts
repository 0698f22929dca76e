import type { OpenAPIV3 } from 'openapi-types'
import type { AccessRule } from '../../domain/access/principal.ts'
import type { OperationDetail } from '../admin/operation.ts'
import { Problem } from '../problem/problem.ts'
import { COOKIE, CSRF_HEADER } from '../session-cookie.ts'
import { refusalsOf } from './refusals.ts'
import { exampleOf, requestExampleOf, toPlainSchema } from './schema.ts'
import { shareErrors } from './shared-errors.ts'

/** How requests authenticate. Routes refer to these names. */
export const SECURITY_SCHEMES = {
  basic: {
    type: 'http',
    scheme: 'basic',
    description: 'An account name with its password, or with a token as the password',
  },
  bearer: {
    type: 'http',
    scheme: 'bearer',
    description: 'A token; for /v2 also a short-lived token from /token',
  },
  session: {
    type: 'apiKey',
    in: 'cookie',
    name: COOKIE,
    description: `The session cookie of a browser (with TLS, __Host-${COOKIE}). Changes need the ${CSRF_HEADER} header.`,
  },
} as const

const SECURITY = [{ basic: [] }, { bearer: [] }, { session: [] }]

/** The groups of operations, in the order of the page. */
export const TAGS: OpenAPIV3.TagObject[] = [
  { name: 'distribution', description: 'Pull and push: the API of the OCI distribution-spec.' },
  { name: 'docker v1', description: "Docker's V1 API: pulls by Docker before 1.6, and searches." },
  { name: 'token', description: "Docker's token protocol: short-lived tokens for /v2." },
  { name: 'repositories', description: 'Settings, history, deletion and restore.' },
  { name: 'tags', description: 'Where tags point, and where they pointed before.' },
  { name: 'manifests', description: 'Images, indexes and other artifacts.' },
  { name: 'files', description: 'The files in layers and images.' },
  { name: 'pulls', description: 'Who pulled what, by tag, account and day.' },
  { name: 'blobs', description: 'Blobs by digest, and the repositories that use them.' },
  { name: 'damage', description: 'Stored content that is damaged or missing.' },
  { name: 'uploads', description: 'Uploads in progress.' },
  { name: 'storage', description: 'Disk usage.' },
  { name: 'cache', description: 'Content cached from upstreams.' },
  { name: 'pins', description: 'Cached content that is never evicted.' },
  { name: 'upstreams', description: 'Registries whose content is cached.' },
  { name: 'quotas', description: 'How much namespaces and the server can hold.' },
  { name: 'retention', description: 'Policies that decide which tags expire.' },
  { name: 'events', description: 'The history of changes to content.' },
  { name: 'jobs', description: 'Long-running operations and their progress.' },
  { name: 'gc', description: 'Garbage collection: what will be deleted and when, and why the rest is kept.' },
  { name: 'purges', description: 'Permanent deletion of what could still be restored.' },
  { name: 'server', description: 'Version, settings and health of the server.' },
  { name: 'session', description: 'Browser sessions.' },
  { name: 'access', description: 'What an account may do in a repository, and why.' },
  { name: 'users', description: 'People, who sign in with a password.' },
  {
    name: 'robots',
    description: 'Accounts for machines, which sign in with tokens. Each belongs to a user.',
  },
  { name: 'tokens', description: 'Tokens of users and robots. A secret is shown only once.' },
  { name: 'groups', description: 'Groups of accounts, to grant roles to.' },
  { name: 'grants', description: 'Roles of accounts and groups on the repositories that match a pattern.' },
  { name: 'signing-keys', description: 'Keys that sign short-lived tokens.' },
  { name: 'audit', description: 'Changes to accounts and grants, denied requests and sign-ins.' },
  { name: 'metrics', description: 'Metrics for Prometheus.' },
  { name: 'health', description: 'Liveness and readiness.' },
  { name: 'problems', description: 'All error codes (RFC 9457).' },
  { name: 'authority', description: 'The certificate authority of this server.' },
]

/** An operation, with what the admin API declares for it. */
type Operation = OpenAPIV3.OperationObject & Partial<OperationDetail>

/** The only route with a form as its body (OAuth 2). All others take JSON. */
const FORM_OPERATION = 'postAccessToken'

/**
 * Completes the document that `@elysiajs/swagger` generates: adds the errors of the admin API, the actual media types,
 * and an example of each body and parameter. The plugin's successor, `@elysiajs/openapi` (1.4.16), would need the same:
 * it also lists three media types for each body and a string alternative for each number.
 */
export function complete(document: OpenAPIV3.Document): OpenAPIV3.Document {
  const problem: OpenAPIV3.SchemaObject = JSON.parse(JSON.stringify(Problem))
  document.components = { ...document.components, schemas: { Problem: problem } }
  for (const [path, item] of Object.entries(document.paths)) {
    const { parameters = [], ...operations } = item ?? {}
    completeParameters(parameters)
    for (const [method, operation] of Object.entries(operations) as [string, Operation][]) {
      completeParameters(operation.parameters ?? [])
      completeBodies(operation)
      if (path.startsWith('/api/')) completeAdminOperation(operation, method)
    }
  }
  shareErrors(document)
  return document
}

function completeAdminOperation(operation: Operation, method: string): void {
  const { 'x-access': access = 'anybody' } = operation
  operation.security =
    access === 'session' ? [{ session: [] }] : access === 'anybody' ? [...SECURITY, {}] : SECURITY
  operation.responses = { ...operation.responses, ...refusalsOf(operation, method) }
  const { 'x-etag': isTagged = false } = operation
  const takesConditions = isTagged === true || (isTagged && method !== 'get')
  for (const status of [200, 201, 206]) {
    const done = operation.responses[status] as OpenAPIV3.ResponseObject | undefined
    const headers = { ...(isTagged && { etag: ETAG }), ...(status === 201 && { location: LOCATION }) }
    if (done && Object.keys(headers).length > 0) done.headers = headers
  }
  if (takesConditions) operation.parameters = [...(operation.parameters ?? []), ...conditionsOf(method)]
  if (method !== 'get') operation.parameters = [...(operation.parameters ?? []), CSRF]
  if (operation['x-access']) operation.description = describe(operation)
  delete operation['x-errors']
  delete operation['x-etag']
  delete operation['x-media-type']
}

/** Who may call an operation, in words. */
const ACCESS: Record<AccessRule, string> = {
  pull: 'Anyone who can pull from the repository',
  push: 'Anyone who can push to the repository',
  delete: 'Anyone who can delete in the repository',
  catalog: 'Any account, or anyone who can pull from at least one repository',
  account: 'Any account, with a credential that has no scope of its own',
  self: 'The account itself, its owner, or a server admin',
  admin: 'A server admin',
  session: 'A signed-in browser',
  anybody: 'Anyone',
}

function describe({ description, 'x-access': access = 'anybody' }: Operation): string {
  const who = `Access: ${ACCESS[access]}.`
  return description === undefined ? who : `${description}\n\n${who}`
}

const ETAG: OpenAPIV3.HeaderObject = {
  description: 'The strong entity tag of the resource',
  schema: { type: 'string', example: '"17"' },
}

const LOCATION: OpenAPIV3.HeaderObject = {
  description: 'The URL of the created resource',
  schema: { type: 'string', example: '/api/v1/users/alice' },
}

const CSRF: OpenAPIV3.ParameterObject = {
  in: 'header',
  name: CSRF_HEADER,
  schema: { type: 'string' },
  description: 'Only with a session cookie: the csrfToken of the session',
}

/** Returns the conditional headers of a request (RFC 9110, 13). */
function conditionsOf(method: string): OpenAPIV3.ParameterObject[] {
  const condition = (name: string, description: string) =>
    ({ in: 'header', name, description, schema: { type: 'string' } }) as const
  if (method === 'get') return [condition('if-none-match', 'Entity tags that the client already has')]
  return [
    condition('if-match', 'Change only if the resource has one of these entity tags'),
    condition(
      'if-none-match',
      'Change only if the resource has none of these entity tags; * means only if it does not exist',
    ),
  ]
}

function completeParameters(parameters: Operation['parameters'] & object): void {
  for (const parameter of parameters) {
    if ('$ref' in parameter || !parameter.schema) continue
    const schema = parameter.schema as OpenAPIV3.SchemaObject
    toPlainSchema(schema)
    // Pages that send requests fill in what has an example, and optional parameters would exclude each other.
    if (parameter.required) parameter.example ??= exampleOf(schema, parameter.name)
    else delete parameter.example
  }
}

/** Replaces the three media types that the plugin lists for each body by the actual one. */
function completeBodies(operation: Operation): void {
  const {
    operationId,
    requestBody,
    responses = {},
    'x-media-type': answered = 'application/json',
  } = operation
  if (requestBody && 'content' in requestBody) {
    const type = operationId === FORM_OPERATION ? 'application/x-www-form-urlencoded' : 'application/json'
    requestBody.content = completeContent(requestBody.content, type, requestExampleOf)
  }
  for (const [status, answer] of Object.entries(responses)) {
    if ('$ref' in answer) continue
    const { description, headers, content = {} } = answer
    responses[status] = {
      description,
      content: completeContent(content, answered),
      ...(headers && { headers }),
    }
  }
}

type Content = Record<string, OpenAPIV3.MediaTypeObject>

function completeContent(content: Content, type: string, toExample = exampleOf): Content {
  const media = content['application/json']
  if (media?.schema === undefined || '$ref' in media.schema) return content
  const schema = media.schema as OpenAPIV3.SchemaObject
  // The bytes can be of any type, so they have no schema.
  if (type === '*/*') return { [type]: { schema: {} } }
  toPlainSchema(schema)
  return { [type]: { schema, example: media.example ?? toExample(schema) } }
}
