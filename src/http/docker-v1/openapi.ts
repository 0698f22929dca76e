import type { OpenAPIV3 } from 'openapi-types'
import { REFUSALS } from '../distribution/openapi.ts'
import { ERRORS } from '../distribution/openapi-parts.ts'
import { ANSWERS, BODIES, BYTES, PARTS, QUERIES, REGISTERED } from './openapi-parts.ts'
import { V1_PATH_TEMPLATES, type V1PathKind } from './path.ts'
import { V1_ROUTES, type V1Access, type V1Route } from './routes.ts'

/** The table of routes as OpenAPI paths. */
export function v1Paths(): OpenAPIV3.PathsObject {
  const paths: OpenAPIV3.PathsObject = {}
  for (const route of V1_ROUTES) {
    const template = V1_PATH_TEMPLATES[route.path]
    const path = paths[template] ?? { parameters: parametersOf(route.path) }
    for (const method of route.methods) {
      path[method.toLowerCase() as OpenAPIV3.HttpMethods] = operation(route as V1Route, method)
    }
    paths[template] = path
  }
  return paths
}

/** Who may ask, in words. */
const ACCESS: Record<V1Access, string> = {
  pull: 'Whoever may pull from the repository, or from the one of the image',
  catalog: 'Whoever may pull from at least one repository, or signs in',
  account: 'Whoever signs in',
  self: 'The account itself, with a credential that is not narrowed',
  anybody: 'Anybody',
}

function operation(route: V1Route, method: string): OpenAPIV3.OperationObject {
  const { id, summary, access, path } = route
  const body = BODIES[id]
  const isNamed = V1_PATH_TEMPLATES[path].includes('{name}')
  const malformed = isNamed && { 400: 'A part of the path is malformed; the message says which.' }
  const answers = { ...malformed, ...REFUSALS, ...route.answers }
  return {
    operationId: `${id}-${method.toLowerCase()}`,
    summary,
    description: `For: ${ACCESS[access]}.`,
    tags: ['docker v1'],
    parameters: QUERIES[id] ?? [],
    ...(body && { requestBody: { content: { 'application/json': body } } }),
    security: ['anybody', 'pull', 'catalog'].includes(access)
      ? [{ basic: [] }, { bearer: [] }, {}]
      : [{ basic: [] }],
    responses: Object.fromEntries(
      Object.entries(answers).map(([status, description]) => {
        const content = method === 'HEAD' ? undefined : contentOf(id, Number(status))
        return [status, { description, ...(content && { content }) }]
      }),
    ),
  }
}

function contentOf(id: string, status: number): OpenAPIV3.ResponseObject['content'] {
  if (id === 'v1-register' && status === 400) return { 'application/json': REGISTERED }
  if (status >= 400) return { 'application/json': ERRORS }
  if (id === 'v1-layer' && status !== 304) return { 'application/octet-stream': BYTES }
  const answer = status === 200 ? ANSWERS[id] : undefined
  return answer && { 'application/json': answer }
}

function parametersOf(kind: V1PathKind): OpenAPIV3.ParameterObject[] {
  const names = [...V1_PATH_TEMPLATES[kind].matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
  return names.map((name) => ({ in: 'path', name, required: true, ...PARTS[name] }))
}
