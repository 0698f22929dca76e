import type { OpenAPIV3 } from 'openapi-types'
import { faultsOf } from './json-schema.ts'

type Document = OpenAPIV3.Document
type Schema = OpenAPIV3.SchemaObject & Record<`x-${string}`, unknown>

/** Returns the OpenAPI document of a server, with its shared responses in place. */
export async function documentOf(url: string): Promise<Document> {
  return withoutReferences((await (await fetch(new URL('/swagger/json', url))).json()) as Document)
}

/** Puts shared responses where the document refers to them. */
export function withoutReferences(document: Document): Document {
  const shared = document.components?.responses ?? {}
  const text = JSON.stringify(document, (_key, value) => {
    const name = /^#\/components\/responses\/(.+)$/.exec(value?.$ref)?.[1]
    return name === undefined ? value : shared[name]
  })
  return JSON.parse(text)
}

export function schemasOf({ components }: Document): Record<string, Schema> {
  return (components?.schemas ?? {}) as Record<string, Schema>
}

/**
 * Throws unless the document describes this response of the admin API: its path and method, status, media type
 * and body.
 */
export async function expectDescribed(document: Document, method: string, path: string, response: Response) {
  const found = findOperation(document, method, path)
  const said = `${method} ${path} answers ${response.status}`
  const answer = (found?.responses ?? UNKNOWN)[response.status] as OpenAPIV3.ResponseObject | undefined
  if (answer === undefined) throw new Error(`${said}, which the document does not have`)
  const type = response.headers.get('content-type')?.split(';', 1)[0]
  const content = answer.content ?? {}
  if (method === 'HEAD' || (type === undefined && Object.keys(content).length === 0)) return
  const media = content[type ?? ''] ?? content['*/*']
  if (media === undefined) throw new Error(`${said} with ${type}, which the document does not have`)
  const isTagged = response.headers.has('etag')
  if (isTagged && method === 'GET' && answer.headers?.etag === undefined) {
    throw new Error(`${said} with an entity tag, which the document does not have`)
  }
  const isBytes = (media.schema as Schema).format === 'binary'
  if (isBytes || !/[/+]json$/.test(type ?? '')) return
  const faults = faultsOf(await response.clone().json(), media.schema as Schema, schemasOf(document))
  if (faults.length > 0)
    throw new Error(`${said} with what its schema does not describe: ${faults.join('; ')}`)
}

/** The responses to unknown paths. */
const UNKNOWN: OpenAPIV3.ResponsesObject = {
  404: {
    description: 'Not found.',
    content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } },
  },
}

function findOperation({ paths }: Document, method: string, path: string) {
  const parts = path.split('/')
  const [, item] =
    Object.entries(paths).find(([template]) => {
      const wanted = template.split('/')
      return (
        wanted.length === parts.length &&
        wanted.every((part, at) => part === parts[at] || (part.startsWith('{') && parts[at] !== ''))
      )
    }) ?? []
  return item?.[(method === 'HEAD' ? 'get' : method.toLowerCase()) as OpenAPIV3.HttpMethods]
}
