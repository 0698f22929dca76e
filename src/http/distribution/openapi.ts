import type { OpenAPIV3 } from 'openapi-types'
import { tablePaths } from '../openapi/table-paths.ts'
import { contentOfAnswer, DIGEST, ERRORS, HEADERS, NAME, QUERIES } from './openapi-parts.ts'
import { PATH_TEMPLATES } from './path.ts'
import type { Route, routes } from './routes.ts'

/** Returns the OpenAPI paths of /v2. */
export function v2Paths(table: ReturnType<typeof routes>): OpenAPIV3.PathsObject {
  return tablePaths(table as readonly Route[], {
    templates: PATH_TEMPLATES,
    parts: PARTS,
    operation,
    contentOf: ({ id }, status) =>
      status >= 400 ? { 'application/json': ERRORS } : contentOfAnswer(id, status),
    headersOf: ({ id }, status) => HEADERS[id]?.[status],
  })
}

const BODY = { content: { '*/*': { schema: { type: 'string', format: 'binary' } } } } as const

function operation({ id }: Route, method: string) {
  const hasBody = method === 'PUT' || method === 'PATCH' || method === 'POST'
  return {
    tags: ['distribution'],
    parameters: Object.entries(QUERIES[id] ?? {}).map(([name, query]) => ({ in: 'query', name, ...query })),
    ...(hasBody && { requestBody: BODY }),
    security: [{ basic: [] }, { bearer: [] }, {}],
  }
}

const text = { type: 'string' } as const

/** The path parameters, by their names in the template. */
const PARTS: Record<string, Omit<OpenAPIV3.ParameterObject, 'name' | 'in'>> = {
  name: { description: 'The repository', schema: text, example: NAME },
  digest: { description: 'A digest', schema: text, example: DIGEST },
  reference: { description: 'A tag or a digest', schema: text, example: 'latest' },
  id: {
    description: 'The id of the upload, from its Location',
    schema: text,
    example: 'f7c0e4a2-5d0b-7c43-9b0e-3c1d2e4f5a6b',
  },
}
