import type { OpenAPIV3 } from 'openapi-types'
import { PATH_TEMPLATES, type PathKind } from './path.ts'
import type { Route, routes } from './routes.ts'

const ERRORS: OpenAPIV3.MediaTypeObject = {
  schema: {
    type: 'object',
    required: ['errors'],
    properties: {
      errors: {
        type: 'array',
        items: {
          type: 'object',
          required: ['code', 'message'],
          properties: { code: { type: 'string' }, message: { type: 'string' }, detail: { type: 'object' } },
        },
      },
    },
  },
}

const QUERIES: Partial<Record<string, Record<string, string>>> = {
  'end-4': {
    digest: 'The digest of a blob whose bytes are the body',
    'digest-algorithm': 'The algorithm that the upload will be closed with, if it is not sha256',
    mount: 'The digest of a blob to be linked from another repository',
    from: 'The repository that has it; without it, any that you may pull from',
  },
  'end-6': { digest: 'The digest of the whole blob' },
  'end-7': { tag: 'A further tag; may be repeated, in a push by digest' },
  'end-8': { n: 'Entries of a page', last: 'The entry before the page' },
  'end-12': { artifactType: 'Only this type', last: 'The digest before the page' },
  catalog: { n: 'Entries of a page', last: 'The entry before the page' },
}

/** What any row may answer to who asks. */
const REFUSALS: Record<number, string> = {
  401: 'A credential, or another token, could help; WWW-Authenticate says where to get one.',
  403: 'The account may not do this.',
  429: 'Too much at once, or too many wrong passwords: Retry-After says how long to wait.',
}

/** The table of routes as OpenAPI paths. */
export function v2Paths(table: ReturnType<typeof routes>): OpenAPIV3.PathsObject {
  const paths: OpenAPIV3.PathsObject = {}
  for (const route of table) {
    const template = PATH_TEMPLATES[route.path]
    const path = paths[template] ?? { parameters: parametersOf(route.path) }
    for (const method of route.methods) {
      path[method.toLowerCase() as OpenAPIV3.HttpMethods] = operation(route as Route, method)
    }
    paths[template] = path
  }
  return paths
}

function operation(route: Route, method: string): OpenAPIV3.OperationObject {
  const queries = Object.entries(QUERIES[route.id] ?? {})
  const body = method === 'PUT' || method === 'PATCH' || method === 'POST'
  return {
    operationId: `${route.id}-${method.toLowerCase()}`,
    summary: route.summary,
    tags: ['distribution'],
    parameters: queries.map(([name, description]) => ({
      in: 'query',
      name,
      description,
      schema: { type: 'string' },
    })),
    ...(body
      ? { requestBody: { content: { '*/*': { schema: { type: 'string', format: 'binary' } } } } }
      : {}),
    security: [{ basic: [] }, { bearer: [] }, {}],
    responses: Object.fromEntries(
      Object.entries({ ...route.answers, ...REFUSALS }).map(([status, description]) => [
        status,
        answer(Number(status), description),
      ]),
    ),
  }
}

function answer(status: number, description: string): OpenAPIV3.ResponseObject {
  return status < 400 ? { description } : { description, content: { 'application/json': ERRORS } }
}

function parametersOf(kind: PathKind): OpenAPIV3.ParameterObject[] {
  const names = [...PATH_TEMPLATES[kind].matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  return names.map((name) => ({ in: 'path', name, required: true, schema: { type: 'string' } }))
}
