import type { OpenAPIV3 } from 'openapi-types'
import { operationIdOf, type TableRow } from './route-table.ts'

/** The errors that any row may return. */
const REFUSALS: Record<number, string> = {
  401: 'Authentication is required, or the token is insufficient. WWW-Authenticate says where to get a token.',
  403: 'Permission denied.',
  429: 'Too many requests or failed logins. Retry-After says how long to wait.',
  500: 'Internal error. The server log has the cause under the X-Request-Id.',
}

const MALFORMED = { 400: 'A part of the path is invalid; the message says which.' }

/** What the document needs besides the rows of a table. */
export interface TableDescription<R extends TableRow> {
  /** The OpenAPI template of each kind of path. */
  templates: Record<string, string>
  /** The path parameters, by their names in the templates. */
  parts: Record<string, Omit<OpenAPIV3.ParameterObject, 'name' | 'in'>>
  /** What each row does, by its id. */
  docs: Readonly<Record<string, RowDescription>>
  operation(row: R, method: string): Omit<OpenAPIV3.OperationObject, 'responses'>
  /** Returns the body of a response; HEAD responses have none. */
  contentOf(row: R, status: number): OpenAPIV3.ResponseObject['content'] | undefined
}

/** What one row of a table does. */
export interface RowDescription {
  summary: string
  /** The response statuses with their descriptions. */
  answers: Record<number, string>
  /** The query parameters. */
  queries?: OpenAPIV3.ParameterObject[]
  /** The response headers, by status. */
  headers?: Record<number, OpenAPIV3.ResponseObject['headers']>
}

/** Converts a table of routes to OpenAPI paths. */
export function tablePaths<R extends TableRow>(
  rows: readonly R[],
  { templates, parts, docs, operation, contentOf }: TableDescription<R>,
): OpenAPIV3.PathsObject {
  const paths: OpenAPIV3.PathsObject = {}
  for (const row of rows) {
    const template = templates[row.path] ?? ''
    const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
    const parameters = names.map((name) => ({ in: 'path', name, required: true, ...parts[name] }))
    const doc = docs[row.id]
    const path = paths[template] ?? { parameters }
    const answers = { ...(names.includes('name') && MALFORMED), ...REFUSALS, ...doc?.answers }
    for (const method of row.methods) {
      const responses = Object.entries(answers).map(([status, description]) => {
        const content = method === 'HEAD' ? undefined : contentOf(row, Number(status))
        const headers = doc?.headers?.[Number(status)]
        return [status, { description, ...(headers && { headers }), ...(content && { content }) }]
      })
      path[method.toLowerCase() as OpenAPIV3.HttpMethods] = {
        operationId: operationIdOf(row, method),
        summary: doc?.summary ?? '',
        ...operation(row, method),
        responses: Object.fromEntries(responses),
      }
    }
    paths[template] = path
  }
  return paths
}

/** The repository in examples. */
export const NAME = 'library/alpine'

export const string: OpenAPIV3.SchemaObject = { type: 'string' }

/** An object; by default all of its properties are required. */
export const object = (
  properties: Record<string, OpenAPIV3.SchemaObject>,
  required = Object.keys(properties),
): OpenAPIV3.SchemaObject => ({ type: 'object', required, properties })

export const list = (items: OpenAPIV3.SchemaObject): OpenAPIV3.SchemaObject => ({ type: 'array', items })

/** The distribution-spec, "Error Codes". */
export const ERRORS: OpenAPIV3.MediaTypeObject = {
  schema: object({
    errors: list(
      object(
        {
          code: string,
          message: string,
          detail: {
            type: 'object',
            additionalProperties: { anyOf: [string, list(string)] },
            description: 'Details, such as the name or digest',
          },
        },
        ['code', 'message'],
      ),
    ),
  }),
  example: { errors: [{ code: 'NAME_UNKNOWN', message: 'repository name not known to the registry' }] },
}

export const BYTES: OpenAPIV3.MediaTypeObject = { schema: { type: 'string', format: 'binary' } }
