import type { OpenAPIV3 } from 'openapi-types'
import { contentOfAnswer, DIGEST, ERRORS, HEADERS, NAME, QUERIES } from './openapi-parts.ts'
import { PATH_TEMPLATES, type PathKind } from './path.ts'
import type { Route, routes } from './routes.ts'

/** What any row may answer to who asks. */
export const REFUSALS: Record<number, string> = {
  401: 'A credential, or another token, could help; WWW-Authenticate says where to get one.',
  403: 'The account may not do this.',
  429: 'Too much at once, or too many wrong passwords: Retry-After says how long to wait.',
  500: 'The registry failed; its log names the cause under the X-Request-Id.',
}

const MALFORMED = 'A part of the path is malformed; the message says which.'

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
  const body = method === 'PUT' || method === 'PATCH' || method === 'POST'
  const isNamed = PATH_TEMPLATES[route.path].includes('{name}')
  const answers = { ...(isNamed && { 400: MALFORMED }), ...route.answers, ...REFUSALS }
  return {
    operationId: `${route.id}-${method.toLowerCase()}`,
    summary: route.summary,
    tags: ['distribution'],
    parameters: Object.entries(QUERIES[route.id] ?? {}).map(([name, query]) => ({
      in: 'query',
      name,
      ...query,
    })),
    ...(body
      ? { requestBody: { content: { '*/*': { schema: { type: 'string', format: 'binary' } } } } }
      : {}),
    security: [{ basic: [] }, { bearer: [] }, {}],
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, description]) => [
        status,
        answer(route, method, Number(status), description),
      ]),
    ),
  }
}

function answer(
  { id }: Route,
  method: string,
  status: number,
  description: string,
): OpenAPIV3.ResponseObject {
  if (status >= 400) {
    return method === 'HEAD' ? { description } : { description, content: { 'application/json': ERRORS } }
  }
  const headers = HEADERS[id]?.[status]
  const content = method === 'HEAD' ? undefined : contentOfAnswer(id, status)
  return { description, ...(headers && { headers }), ...(content && { content }) }
}

/** The parts of a path, by their names in the template. */
const PARTS: Record<string, { description: string; example: string }> = {
  name: { description: 'The repository', example: NAME },
  digest: { description: 'A digest', example: DIGEST },
  reference: { description: 'A tag or a digest', example: 'latest' },
  id: {
    description: 'The upload, as its Location names it',
    example: 'f7c0e4a2-5d0b-7c43-9b0e-3c1d2e4f5a6b',
  },
}

function parametersOf(kind: PathKind): OpenAPIV3.ParameterObject[] {
  const names = [...PATH_TEMPLATES[kind].matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  return names.map((name) => ({
    in: 'path',
    name,
    required: true,
    schema: { type: 'string' },
    ...PARTS[name],
  }))
}
