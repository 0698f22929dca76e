import type { OpenAPIV3 } from 'openapi-types'
import { BYTES, ERRORS, list, NAME, object, string, tablePaths } from '../http/table-paths.ts'
import type { PathKind, Route, Row } from './dispatch.ts'

/* What the distribution API takes and answers, by the ids of the table's rows: for its OpenAPI document. */

const DIGEST = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

type Parameter = Pick<OpenAPIV3.ParameterObject, 'description' | 'example' | 'schema'>

const text = (description: string, example: string): Parameter => ({
  description,
  example,
  schema: { type: 'string' },
})
const count = (description: string): Parameter => ({
  description,
  example: 100,
  schema: { type: 'integer', minimum: 0 },
})

const PAGE = { n: count('Entries per page'), last: text('The last entry of the previous page', 'a') }

/** The query parameters of a row. */
const QUERIES: Partial<Record<string, Record<string, Parameter>>> = {
  v2StartUpload: {
    digest: text('The digest of the blob, if the body has all of it', DIGEST),
    'digest-algorithm': text('The digest algorithm of the upload, if not sha256', 'sha512'),
    mount: text('The digest of a blob to mount from another repository', DIGEST),
    from: text('The repository to mount from; any that you may pull from by default', NAME),
  },
  v2CompleteUpload: { digest: text('The digest of the whole blob', DIGEST) },
  v2PutManifest: { tag: text('A tag to set in a push by digest; may be repeated', 'latest') },
  v2ListTags: PAGE,
  v2ListReferrers: {
    artifactType: text('List only referrers of this artifact type', 'application/spdx+json'),
    last: text('The last digest of the previous page', DIGEST),
  },
  v2ListRepositories: PAGE,
}

const header = (description: string, example: string): OpenAPIV3.HeaderObject => ({
  description,
  example,
  schema: { type: 'string' },
})
const location = { location: header('The URL of the created resource', `/v2/${NAME}/manifests/${DIGEST}`) }
const digest = { 'docker-content-digest': header('The digest of the content', DIGEST) }
const etag = { etag: header('The digest of the content', `"${DIGEST}"`) }
const negotiated = {
  vary: header('Accept, if it selects the format', 'Accept'),
  warning: header('Present if the manifest was converted', '299 - "this manifest was converted"'),
}
const range = { range: header('The received bytes; the end is inclusive', '0-1023') }
const link = { link: header('The next page, if there is one', `</v2/_catalog?last=a>; rel="next"`) }

/** The response headers of a row, by status. */
const HEADERS: Partial<Record<string, Record<number, Record<string, OpenAPIV3.HeaderObject>>>> = {
  v2GetBlob: { 200: { ...digest, ...etag }, 206: digest },
  v2GetManifest: { 200: { ...digest, ...etag, ...negotiated } },
  v2StartUpload: { 201: { ...location, ...digest }, 202: { ...location, ...range } },
  v2AppendUpload: { 202: { ...location, ...range } },
  v2CompleteUpload: { 201: { ...location, ...digest } },
  v2PutManifest: { 201: { ...location, ...digest } },
  v2ListTags: { 200: link },
  v2ListReferrers: { 200: link },
  v2GetUpload: { 204: { ...location, ...range } },
  v2ListRepositories: { 200: link },
}

const annotations: OpenAPIV3.SchemaObject = { type: 'object', additionalProperties: string }

const descriptor = object(
  { mediaType: string, digest: string, size: { type: 'integer' }, artifactType: string, annotations },
  ['mediaType', 'digest', 'size'],
)

const index = object({ schemaVersion: { type: 'integer' }, mediaType: string, manifests: list(descriptor) })

const MANIFEST_TYPE = 'application/vnd.oci.image.manifest.v1+json'

/** Returns the response body of a row: JSON with its schema, or bytes. */
function contentOfAnswer(id: string, status: number): Record<string, OpenAPIV3.MediaTypeObject> | undefined {
  if (status === 206 || (id === 'v2GetBlob' && status === 200)) return { 'application/octet-stream': BYTES }
  if (status !== 200) return undefined
  switch (id) {
    case 'v2GetManifest':
      return { '*/*': BYTES }
    case 'v2ListTags':
      return json(object({ name: string, tags: list(string) }), { name: NAME, tags: ['3.22', 'latest'] })
    case 'v2ListReferrers': {
      const found = {
        mediaType: MANIFEST_TYPE,
        digest: DIGEST,
        size: 525,
        artifactType: 'application/spdx+json',
      }
      const mediaType = 'application/vnd.oci.image.index.v1+json'
      return { [mediaType]: { schema: index, example: { schemaVersion: 2, mediaType, manifests: [found] } } }
    }
    case 'v2ListRepositories':
      return json(object({ repositories: list(string) }), { repositories: [NAME] })
    default:
      return undefined
  }
}

function json(schema: OpenAPIV3.SchemaObject, example: unknown) {
  return { 'application/json': { schema, example } }
}

/** The OpenAPI template of each kind of path. */
export const PATH_TEMPLATES: Record<PathKind, string> = {
  base: '/v2/',
  catalog: '/v2/_catalog',
  blob: '/v2/{name}/blobs/{digest}',
  manifest: '/v2/{name}/manifests/{reference}',
  uploads: '/v2/{name}/blobs/uploads/',
  upload: '/v2/{name}/blobs/uploads/{id}',
  tags: '/v2/{name}/tags/list',
  referrers: '/v2/{name}/referrers/{digest}',
}

/** Returns the OpenAPI paths of /v2. */
export function v2Paths(table: readonly Row[]): OpenAPIV3.PathsObject {
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

const openApiText = { type: 'string' } as const

/** The path parameters, by their names in the template. */
const PARTS: Record<string, Omit<OpenAPIV3.ParameterObject, 'name' | 'in'>> = {
  name: { description: 'The repository', schema: openApiText, example: NAME },
  digest: { description: 'A digest', schema: openApiText, example: DIGEST },
  reference: { description: 'A tag or a digest', schema: openApiText, example: 'latest' },
  id: {
    description: 'The id of the upload, from its Location',
    schema: openApiText,
    example: 'f7c0e4a2-5d0b-7c43-9b0e-3c1d2e4f5a6b',
  },
}
