import { swagger } from '@elysiajs/swagger'
import { Elysia } from 'elysia'
import type { OpenAPIV3 } from 'openapi-types'
import scalarPath from '../../node_modules/@scalar/api-reference/dist/browser/standalone.js' with {
  type: 'file',
}
import type { AccessRule } from '../access/access.ts'
import { version } from '../config/values.ts'
import { ERROR_CODES, type ErrorCode } from '../oci/error.ts'
import { COOKIE, CSRF_HEADER } from './controller.ts'
import { exampleOf, requestExampleOf, toPlainSchema } from './openapi-schema.ts'
import type { OperationDetail } from './operation.ts'
import { PROBLEM_TYPE, Problem } from './problem.ts'

/** The hash of the content of the script element that holds Scalar's settings. */
const emptyScript = new Bun.CryptoHasher('sha256').update('\n    ').digest('base64')

/** Allows content from this host only: no font, script, image or request elsewhere. */
const contentSecurityPolicy = [
  "default-src 'none'",
  `script-src 'self' 'sha256-${emptyScript}'`,
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ')

/** Scalar's settings. Everything that calls or links to the vendor's services is switched off. */
const scalarConfig = {
  spec: { url: '/swagger/json' },
  theme: 'default',
  customCss: '',
  favicon: 'data:,',
  defaultOpenAllTags: true,
  withDefaultFonts: false,
  telemetry: false,
  hideClientButton: true,
  showDeveloperTools: 'never',
  agent: { disabled: true },
  mcp: { disabled: true },
} as const

const DESCRIPTION = `A private OCI registry and image cache.

Authenticate requests to \`/api/v1\` with Basic, with a token as Bearer, or with a browser session. Write the slashes of a
repository name in a path as \`%2F\`. Lists are paginated: pass \`nextCursor\` of a page as \`cursor\` to get the next page. Resources
with an entity tag support \`If-Match\` and \`If-None-Match\`. Errors are problem details (RFC 9457); \`/problems\` lists their
codes.`

/**
 * Serves the API reference at `/swagger`, its script, and the OpenAPI 3 document at `/swagger/json`.
 *
 * @param paths the paths of `/v2` and `/v1`, each of which is one wildcard route in Elysia
 */
export function openapi(paths: OpenAPIV3.PathsObject) {
  let script: Promise<Script> | undefined
  let document: OpenAPIV3.Document | undefined
  return new Elysia({ name: 'openapi' })
    .onBeforeHandle(({ set }) => {
      set.headers['content-security-policy'] = contentSecurityPolicy
      set.headers['x-content-type-options'] = 'nosniff'
      set.headers['referrer-policy'] = 'no-referrer'
      set.headers['cache-control'] = 'no-cache'
    })
    .onAfterHandle(({ path, response }) => {
      if (path !== '/swagger/json') return undefined
      // The response shares its schemas with request validation, so a copy is completed.
      document ??= complete(JSON.parse(JSON.stringify(response)))
      return document
    })
    .use(
      swagger({
        documentation: {
          info: { title: 'cay', version, description: DESCRIPTION },
          tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
          // Relative, so that it is right behind a proxy and under any name.
          servers: [{ url: '/', description: 'This server' }],
          paths,
          components: { securitySchemes: SECURITY_SCHEMES },
        },
        exclude: /^\/v2(\/|$)/,
        scalarCDN: '/swagger/scalar.js',
        scalarConfig,
      }),
    )
    .get(
      '/swagger/scalar.js',
      async ({ request }) => {
        script ??= loadScript()
        const { gzip, etag } = await script
        if (request.headers.get('if-none-match') === etag)
          return new Response(null, { status: 304, headers: { etag } })
        // Always compressed, since only browsers request it.
        const type = { 'content-type': 'text/javascript; charset=utf-8', 'content-encoding': 'gzip' }
        return new Response(gzip, { headers: { ...type, etag } })
      },
      { detail: { hide: true } },
    )
}

interface Script {
  gzip: Uint8Array<ArrayBuffer>
  etag: string
}

/** Loads the script. The build compresses it for the executable; when run from source, it is compressed here. */
async function loadScript(): Promise<Script> {
  const bytes = await Bun.file(scalarPath).bytes()
  const gzip = bytes[0] === 0x1f && bytes[1] === 0x8b ? bytes : Bun.gzipSync(bytes)
  return { gzip, etag: `"${new Bun.CryptoHasher('sha256').update(gzip).digest('hex').slice(0, 32)}"` }
}

/** How requests authenticate. Routes refer to these names. */
const SECURITY_SCHEMES = {
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
const TAGS: Readonly<Record<string, string>> = {
  distribution: 'Pull and push: the API of the OCI distribution-spec.',
  'docker v1': "Docker's V1 API: pulls by Docker before 1.6, and searches.",
  token: "Docker's token protocol: short-lived tokens for /v2.",
  repositories: 'Settings, history, deletion and restore.',
  tags: 'Where tags point, and where they pointed before.',
  manifests: 'Images, indexes and other artifacts.',
  files: 'The files in layers and images.',
  pulls: 'Who pulled what, by tag, account and day.',
  blobs: 'Blobs by digest, and the repositories that use them.',
  damage: 'Stored content that is damaged or missing.',
  uploads: 'Uploads in progress.',
  storage: 'Disk usage.',
  cache: 'Content cached from upstreams.',
  pins: 'Cached content that is never evicted.',
  upstreams: 'Registries whose content is cached.',
  quotas: 'How much namespaces and the server can hold.',
  retention: 'Policies that decide which tags expire.',
  events: 'The history of changes to content.',
  jobs: 'Long-running operations and their progress.',
  gc: 'Garbage collection: what will be deleted and when, and why the rest is kept.',
  purges: 'Permanent deletion of what could still be restored.',
  server: 'Version, settings and health of the server.',
  session: 'Browser sessions.',
  access: 'What an account may do in a repository, and why.',
  users: 'People, who sign in with a password.',
  robots: 'Accounts for machines, which sign in with tokens. Each belongs to a user.',
  tokens: 'Tokens of users and robots. A secret is shown only once.',
  groups: 'Groups of accounts, to grant roles to.',
  grants: 'Roles of accounts and groups on the repositories that match a pattern.',
  'signing-keys': 'Keys that sign short-lived tokens.',
  audit: 'Changes to accounts and grants, denied requests and sign-ins.',
  metrics: 'Metrics for Prometheus.',
  health: 'Liveness and readiness.',
  problems: 'All error codes (RFC 9457).',
  authority: 'The certificate authority of this server.',
}

/** An operation, with what the admin API declares for it. */
type Operation = OpenAPIV3.OperationObject & Partial<OperationDetail>

/** The only route with a form as its body (OAuth 2). All others take JSON. */
const FORM_OPERATION = 'postAccessToken'

/**
 * Completes the document that `@elysiajs/swagger` generates: adds the errors of the admin API, the actual media types,
 * and an example of each body and parameter. The plugin's successor, `@elysiajs/openapi` (1.4.16), would need the same:
 * it also lists three media types for each body and a string alternative for each number.
 */
function complete(document: OpenAPIV3.Document): OpenAPIV3.Document {
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
  if (operation['x-access']) {
    const who = `Access: ${ACCESS[access]}.`
    const { description } = operation
    operation.description = description === undefined ? who : `${description}\n\n${who}`
  }
  delete operation['x-errors']
  delete operation['x-etag']
  delete operation['x-media-type']
}

/** Who may call an operation. */
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
  const has = 'Change only if the resource has'
  return [
    condition('if-match', `${has} one of these entity tags`),
    condition('if-none-match', `${has} none of these entity tags; * means only if it does not exist`),
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
  const { operationId, requestBody, responses = {} } = operation
  const { 'x-media-type': answered = 'application/json' } = operation
  if (requestBody && 'content' in requestBody) {
    const type = operationId === FORM_OPERATION ? 'application/x-www-form-urlencoded' : 'application/json'
    requestBody.content = completeContent(requestBody.content, type, requestExampleOf)
  }
  for (const [status, answer] of Object.entries(responses)) {
    if ('$ref' in answer) continue
    const { description, headers, content = {} } = answer
    const completed = completeContent(content, answered)
    responses[status] = { description, content: completed, ...(headers && { headers }) }
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

/** The errors that any operation may return. */
const ALWAYS: ErrorCode[] = ['UNAUTHORIZED', 'TOOMANYREQUESTS', 'INTERNAL']

/** Further statuses of changes, for which the error table has no text. */
const OF_BODIES = {
  408: 'The body was incomplete or stalled.',
  413: 'The body is too large.',
  415: 'The Content-Type of the body is not application/json.',
  507: "The registry's disk is full.",
}

/** Any operation can also exceed a limit of the whole server. */
const BUSY = 'TOOMANYREQUESTS: the server is busy; Retry-After says when to try again.'

/** Refers to the schema of problems. */
const PROBLEM = { [PROBLEM_TYPE]: { schema: { $ref: '#/components/schemas/Problem' } } }

/** Returns the responses of an admin operation other than success, from what its `operation` declares. */
function refusalsOf(operation: Operation, method: string): OpenAPIV3.ResponsesObject {
  const { 'x-access': access, 'x-errors': declared = [], 'x-etag': isTagged = false } = operation
  const codes = new Set<ErrorCode>([...ALWAYS, ...declared])
  const isChange = method !== 'get'
  if (access !== 'anybody' || isChange) codes.add('DENIED')
  if (access === 'pull' || access === 'push' || access === 'delete') codes.add('NAME_INVALID')
  if (operation.requestBody || operation.parameters?.length) codes.add('REQUEST_INVALID')
  if (isTagged && isChange) codes.add('PRECONDITION_FAILED')
  const responses: OpenAPIV3.ResponsesObject = {}
  const add = (status: number, text: string) => {
    const before = responses[status] as OpenAPIV3.ResponseObject | undefined
    const description = before === undefined ? text : `${before.description}; ${text}`
    responses[status] = { description, content: PROBLEM }
  }
  for (const code of codes) add(ERROR_CODES[code].status, `${code}: ${ERROR_CODES[code].message}`)
  add(503, BUSY)
  if (isTagged === true && !isChange)
    responses[304] = { description: 'Not modified: If-None-Match matches the entity tag.' }
  if (operation.responses[206])
    responses[416] = { description: 'The range is outside the content.', content: PROBLEM }
  for (const [status, description] of isChange ? Object.entries(OF_BODIES) : []) {
    if (operation.requestBody || status === '507') responses[status] = { description, content: PROBLEM }
  }
  return responses
}

/** Moves the error responses to the components of the document, because most operations have the same. */
function shareErrors(document: OpenAPIV3.Document): void {
  const shared: Record<string, OpenAPIV3.ResponseObject> = {}
  const names = new Map<string, string>()
  for (const operation of operationsOf(document)) {
    for (const [status, answer] of Object.entries(operation.responses)) {
      if (Number(status) < 400 || '$ref' in answer) continue
      const key = JSON.stringify([status, answer])
      const name = names.get(key) ?? freeName(shared, status, answer.description)
      names.set(key, name)
      shared[name] = answer
      operation.responses[status] = { $ref: `#/components/responses/${name}` }
    }
  }
  document.components = { ...document.components, responses: shared }
}

function operationsOf({ paths }: OpenAPIV3.Document): OpenAPIV3.OperationObject[] {
  return Object.values(paths).flatMap((item) => {
    const { parameters: _, ...methods } = item ?? {}
    return Object.values(methods) as OpenAPIV3.OperationObject[]
  })
}

/** Returns a name that does not depend on other responses, if possible: the status and the error codes. */
function freeName(taken: object, status: string, description: string): string {
  const codes = [...description.matchAll(/\b([A-Z_]{4,}):/g)].map(([, code]) => code)
  const name = [status, ...codes].join('.')
  let free = name
  for (let n = 2; free in taken; n++) free = `${name}-${n}`
  return free
}
