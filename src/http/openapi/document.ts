import type { OpenAPIV3 } from 'openapi-types'
import type { AccessRule } from '../../domain/asker.ts'
import type { OperationDetail } from '../admin/operation.ts'
import { Problem } from '../problem/problem.ts'
import { COOKIE, CSRF_HEADER } from '../session-cookie.ts'
import { refusalsOf } from './refusals.ts'
import { exampleOf, toPlainSchema } from './schema.ts'

/** How a request says who asks: the names that the routes use. */
export const SECURITY_SCHEMES = {
  basic: {
    type: 'http',
    scheme: 'basic',
    description: 'A name with a password, or with a token as password',
  },
  bearer: { type: 'http', scheme: 'bearer', description: 'A token; for /v2 also one of /token' },
  session: {
    type: 'apiKey',
    in: 'cookie',
    name: COOKIE,
    description: `The session of a browser (with TLS the cookie is __Host-${COOKIE}). Changes need the header ${CSRF_HEADER}.`,
  },
} as const

const SECURITY = [{ basic: [] }, { bearer: [] }, { session: [] }]

/** The groups of operations, in the order in which the page has them. */
export const TAGS: OpenAPIV3.TagObject[] = [
  { name: 'distribution', description: 'Pull and push: the API of the OCI distribution-spec.' },
  { name: 'docker v1', description: "Docker's V1 API: pulls by Docker before 1.6, and searches." },
  { name: 'token', description: "Docker's token protocol: short-lived tokens for /v2." },
  { name: 'repositories', description: 'Settings, history, deletion and restore.' },
  { name: 'tags', description: 'Where they point and where they pointed.' },
  { name: 'manifests', description: 'Images, indexes and other artifacts, and what they are made of.' },
  { name: 'blobs', description: 'Content by digest, and where it is used.' },
  { name: 'uploads', description: 'Uploads in progress.' },
  { name: 'storage', description: 'Disk usage.' },
  { name: 'cache', description: 'What came from upstreams, and follows them.' },
  { name: 'pins', description: 'Cached content that is never evicted.' },
  { name: 'upstreams', description: 'Registries whose content is cached.' },
  { name: 'events', description: 'What happened to content.' },
  { name: 'jobs', description: 'Long-running work and its progress.' },
  {
    name: 'collector',
    description: 'Garbage collection: what is deleted and when, and why the rest is kept.',
  },
  { name: 'server', description: 'Version, settings and health of the server.' },
  { name: 'session', description: 'A browser that has signed in.' },
  { name: 'access', description: 'Who may do what, and why.' },
  { name: 'users', description: 'People who sign in with a password.' },
  { name: 'robots', description: 'Accounts of machines, each of a user, that sign in with tokens.' },
  { name: 'tokens', description: 'Tokens of users and robots, shown once.' },
  { name: 'groups', description: 'Groups of accounts, as subjects of grants.' },
  { name: 'grants', description: 'Who may do what: a role on the repositories of a pattern.' },
  { name: 'signing-keys', description: 'Keys that sign the short-lived tokens.' },
  { name: 'audit', description: 'Who did what to accounts and grants, from where.' },
  { name: 'metrics', description: 'What Prometheus reads.' },
  { name: 'health', description: 'Whether the process lives, and can serve.' },
  { name: 'problems', description: 'The codes of all errors (RFC 9457).' },
  { name: 'authority', description: "The authority of this server's certificate." },
]

/** What the operations of the admin API declare. */
type Operation = OpenAPIV3.OperationObject & Partial<OperationDetail>

/** The one route whose body is a form (OAuth 2); all others take JSON. */
const FORM_OPERATION = 'postToken'

/**
 * Completes the document that `@elysiajs/swagger` makes. Its successor `@elysiajs/openapi` (1.4.16) would need all of
 * this, too: it also writes three media types for each body, and the text form of each number.
 *
 * Adds what the plugin cannot know: the errors of the operations of the admin API, which
 * media types are true, and an example of each body and parameter.
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
  return document
}

function completeAdminOperation(operation: Operation, method: string): void {
  const { 'x-access': access = 'anybody' } = operation
  operation.security =
    access === 'session' ? [{ session: [] }] : access === 'anybody' ? [...SECURITY, {}] : SECURITY
  operation.responses = { ...operation.responses, ...refusalsOf(operation, method) }
  const done = operation.responses[200] as OpenAPIV3.ResponseObject | undefined
  const { 'x-etag': isTagged = false } = operation
  const takesConditions = isTagged === true || (isTagged && method !== 'get')
  if (isTagged && method === 'get' && done) done.headers = { etag: ETAG }
  if (takesConditions) operation.parameters = [...(operation.parameters ?? []), ...conditionsOf(method)]
  if (method !== 'get') operation.parameters = [...(operation.parameters ?? []), CSRF]
  if (operation['x-access']) operation.description = describe(operation)
  delete operation['x-errors']
  delete operation['x-etag']
  delete operation['x-media-type']
}

/** Who may ask, in words. */
const ACCESS: Record<AccessRule, string> = {
  pull: 'Whoever may pull from the repository',
  push: 'Whoever may push to the repository',
  delete: 'Whoever may delete in the repository',
  catalog: 'Whoever may see at least something',
  account: 'Whoever signs in, with a credential that is not narrowed',
  self: 'The account itself, its owner, or a server admin',
  admin: 'A server admin',
  session: 'A browser that has signed in',
  anybody: 'Anybody',
}

function describe({ description, 'x-access': access = 'anybody' }: Operation): string {
  const who = `For: ${ACCESS[access]}.`
  return description === undefined ? who : `${description}\n\n${who}`
}

const ETAG: OpenAPIV3.HeaderObject = {
  description: 'The entity tag of what is answered (strong)',
  schema: { type: 'string', example: '"17"' },
}

const CSRF: OpenAPIV3.ParameterObject = {
  in: 'header',
  name: CSRF_HEADER,
  schema: { type: 'string' },
  example: 'kZ3vB0Sg8b0vLr0m1T2Zq4m0o9mJv2K8',
  description: 'With the cookie of a session only: its csrfToken',
}

/** The conditions of a request (RFC 9110, 13). */
function conditionsOf(method: string): OpenAPIV3.ParameterObject[] {
  const condition = (name: string, description: string, example: string) =>
    ({ in: 'header', name, description, example, schema: { type: 'string' } }) as const
  if (method === 'get') return [condition('if-none-match', 'Entity tags that the client has', '"known"')]
  return [
    condition('if-match', 'Only if what is there has one of these entity tags', '*'),
    condition(
      'if-none-match',
      'Only if what is there has none of these; with *, only if nothing is',
      '"other"',
    ),
  ]
}

function completeParameters(parameters: Operation['parameters'] & object): void {
  for (const parameter of parameters) {
    if ('$ref' in parameter || !parameter.schema) continue
    const schema = parameter.schema as OpenAPIV3.SchemaObject
    toPlainSchema(schema)
    parameter.example ??= exampleOf(schema)
  }
}

/** The plugin writes three media types for each body, whatever a route takes, and the schema's notes beside it. */
function completeBodies(operation: Operation): void {
  const {
    operationId,
    requestBody,
    responses = {},
    'x-media-type': answered = 'application/json',
  } = operation
  if (requestBody && 'content' in requestBody) {
    const type = operationId === FORM_OPERATION ? 'application/x-www-form-urlencoded' : 'application/json'
    requestBody.content = completeContent(requestBody.content, type)
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

function completeContent(content: Content, type: string): Content {
  const media = content['application/json']
  if (media?.schema === undefined || '$ref' in media.schema) return content
  const schema = media.schema as OpenAPIV3.SchemaObject
  // Bytes of any type, JSON among them: nothing is said of them.
  if (type === '*/*') return { [type]: { schema: {} } }
  toPlainSchema(schema)
  return { [type]: { schema, example: media.example ?? exampleOf(schema) } }
}
