import type { OpenAPIV3 } from 'openapi-types'
import type { TableRow } from '../route-table.ts'

/** What any row may answer to who asks. */
const REFUSALS: Record<number, string> = {
  401: 'A credential, or another token, could help; WWW-Authenticate says where to get one.',
  403: 'The account may not do this.',
  429: 'Too much at once, or too many wrong passwords: Retry-After says how long to wait.',
  500: 'The registry failed; its log names the cause under the X-Request-Id.',
}

const MALFORMED = { 400: 'A part of the path is malformed; the message says which.' }

/** What the document needs of a table besides its rows. */
export interface TableDescription<R extends TableRow> {
  /** Every kind of path as OpenAPI writes it. */
  templates: Record<string, string>
  /** The parts of a path, by their names in the templates. */
  parts: Record<string, Omit<OpenAPIV3.ParameterObject, 'name' | 'in'>>
  operation(row: R, method: string): Omit<OpenAPIV3.OperationObject, 'responses'>
  /** The body of an answer; HEAD has none. */
  contentOf(row: R, status: number): OpenAPIV3.ResponseObject['content'] | undefined
  headersOf?(row: R, status: number): OpenAPIV3.ResponseObject['headers'] | undefined
}

/** A table of routes as OpenAPI paths. */
export function tablePaths<R extends TableRow>(
  rows: readonly R[],
  { templates, parts, operation, contentOf, headersOf }: TableDescription<R>,
): OpenAPIV3.PathsObject {
  const paths: OpenAPIV3.PathsObject = {}
  for (const row of rows) {
    const template = templates[row.path] ?? ''
    const names = [...template.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => name)
    const parameters = names.map((name) => ({ in: 'path', name, required: true, ...parts[name] }))
    const path = paths[template] ?? { parameters }
    const answers = { ...(names.includes('name') && MALFORMED), ...REFUSALS, ...row.answers }
    for (const method of row.methods) {
      const responses = Object.entries(answers).map(([status, description]) => {
        const content = method === 'HEAD' ? undefined : contentOf(row, Number(status))
        const headers = headersOf?.(row, Number(status))
        return [status, { description, ...(headers && { headers }), ...(content && { content }) }]
      })
      path[method.toLowerCase() as OpenAPIV3.HttpMethods] = {
        operationId: `${row.id}-${method.toLowerCase()}`,
        summary: row.summary,
        ...operation(row, method),
        responses: Object.fromEntries(responses),
      }
    }
    paths[template] = path
  }
  return paths
}
