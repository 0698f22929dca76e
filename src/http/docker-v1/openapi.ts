import type { OpenAPIV3 } from 'openapi-types'
import { BYTES, ERRORS } from '../distribution/openapi-parts.ts'
import { tablePaths } from '../openapi/table-paths.ts'
import { refuse } from './base.ts'
import { ANSWERS, BODIES, PARTS, QUERIES, REGISTERED } from './openapi-parts.ts'
import { V1_PATH_TEMPLATES } from './path.ts'
import { V1_ROUTES, type V1Access, type V1Route } from './routes.ts'

/** Returns the OpenAPI paths of /v1. */
export function v1Paths(): OpenAPIV3.PathsObject {
  return tablePaths(listedRoutes(), { templates: V1_PATH_TEMPLATES, parts: PARTS, operation, contentOf })
}

/** Returns the rows, with only the first request of a push: this registry refuses the others in the same way. */
function listedRoutes(): V1Route[] {
  const [first, ...others] = (V1_ROUTES as readonly V1Route[]).filter(({ handle }) => handle === refuse)
  const rest = (V1_ROUTES as readonly V1Route[]).filter((row) => row !== first && !others.includes(row))
  return first === undefined ? rest : [...rest, { ...first, methods: ['PUT'] }]
}

/** Who may call a row, in words. */
const ACCESS: Record<V1Access, string> = {
  pull: 'Anyone who can pull from the repository, or from the repository of the image',
  catalog: 'Any account, or anyone who can pull from at least one repository',
  account: 'Any account',
  self: 'The account itself, with a credential that has no scope of its own',
  anybody: 'Anybody',
}

function operation({ id, access }: V1Route) {
  const body = BODIES[id]
  const isForTokens = ['anybody', 'pull', 'catalog'].includes(access)
  return {
    description: `Access: ${ACCESS[access]}.`,
    tags: ['docker v1'],
    parameters: QUERIES[id] ?? [],
    ...(body && { requestBody: { content: { 'application/json': body } } }),
    security: isForTokens ? [{ basic: [] }, { bearer: [] }, {}] : [{ basic: [] }],
  }
}

function contentOf({ id }: V1Route, status: number): OpenAPIV3.ResponseObject['content'] {
  if (id === 'v1CheckPassword' && status === 400) return { 'application/json': REGISTERED }
  if (status >= 400) return { 'application/json': ERRORS }
  if (id === 'v1GetLayer' && status !== 304) return { 'application/octet-stream': BYTES }
  const answer = status === 200 ? ANSWERS[id] : undefined
  return answer && { 'application/json': answer }
}
