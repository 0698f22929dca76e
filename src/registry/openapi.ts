import type { OpenAPIV3 } from 'openapi-types'
import {
  BYTES,
  ERRORS,
  list,
  NAME,
  object,
  type RowDescription,
  string,
  tablePaths,
} from '../http/table-paths.ts'
import type { PathKind, Route, Row } from './dispatch.ts'

const DIGEST = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

type Headers = Record<string, OpenAPIV3.HeaderObject>

const query = (name: string, description: string, example: string): OpenAPIV3.ParameterObject => ({
  in: 'query',
  name,
  description,
  example,
  schema: { type: 'string' },
})

const PAGE: OpenAPIV3.ParameterObject[] = [
  {
    in: 'query',
    name: 'n',
    description: 'Entries per page',
    example: 100,
    schema: { type: 'integer', minimum: 0 },
  },
  query('last', 'The last entry of the previous page', 'a'),
]

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
const created: Headers = { ...location, ...digest }
const progress: Headers = { ...location, ...range }

const UNKNOWN = 'Repository or content not found.'
const MALFORMED = 'A part of the request is invalid; the message says which.'

/** What the distribution API takes and answers, by the ids of the rows of its table. */
export const V2_DOCS: Readonly<Record<string, RowDescription>> = {
  v2GetBase: { summary: 'Check that this is a registry', answers: { 200: 'OK.' } },
  v2GetBlob: {
    summary: 'Pull a blob',
    answers: {
      200: 'The blob.',
      206: 'The requested range.',
      304: 'Not modified.',
      404: UNKNOWN,
      416: 'The range is outside the blob.',
    },
    headers: { 200: { ...digest, ...etag }, 206: digest },
  },
  v2GetManifest: {
    summary: 'Pull a manifest',
    answers: {
      200: 'The manifest; by tag, in a format that Accept lists if possible.',
      304: 'Not modified.',
      404: UNKNOWN,
    },
    headers: { 200: { ...digest, ...etag, ...negotiated } },
  },
  v2StartUpload: {
    summary: 'Start an upload, push a whole blob (digest), or mount a blob (mount, from)',
    answers: {
      201: 'The blob is in the repository.',
      202: 'The upload has started at Location.',
      400: MALFORMED,
    },
    queries: [
      query('digest', 'The digest of the blob, if the body has all of it', DIGEST),
      query('digest-algorithm', 'The digest algorithm of the upload, if not sha256', 'sha512'),
      query('mount', 'The digest of a blob to mount from another repository', DIGEST),
      query('from', 'The repository to mount from; any that you may pull from by default', NAME),
    ],
    headers: { 201: created, 202: progress },
  },
  v2AppendUpload: {
    summary: 'Append a chunk to an upload',
    answers: {
      202: 'The chunk is appended.',
      404: 'Upload not found.',
      416: 'The chunk does not start at the end of the upload.',
    },
    headers: { 202: progress },
  },
  v2CompleteUpload: {
    summary: 'Complete an upload with its digest',
    answers: {
      201: 'The blob is stored.',
      400: 'The content does not match the digest.',
      404: 'Upload not found.',
      416: 'The chunk does not start at the end of the upload.',
    },
    queries: [query('digest', 'The digest of the whole blob', DIGEST)],
    headers: { 201: created },
  },
  v2PutManifest: {
    summary: 'Push a manifest',
    answers: {
      201: 'The manifest is stored.',
      400: 'The manifest is invalid, or references content that is not in the repository.',
      412: 'The tag does not meet the precondition.',
      413: 'The manifest is too large.',
      414: 'Too many tags.',
    },
    queries: [query('tag', 'A tag to set in a push by digest; may be repeated', 'latest')],
    headers: { 201: created },
  },
  v2ListTags: {
    summary: 'List tags',
    answers: { 200: 'The tags, in byte order.', 400: MALFORMED, 404: 'Repository not found.' },
    queries: PAGE,
    headers: { 200: link },
  },
  v2DeleteManifest: {
    summary: 'Delete a manifest with its tags, or one tag',
    answers: {
      202: 'The manifest or tag is deleted.',
      404: UNKNOWN,
      412: 'The tag does not meet the precondition.',
    },
  },
  v2DeleteBlob: {
    summary: 'Delete a blob',
    answers: { 202: 'The blob is deleted.', 404: UNKNOWN, 405: 'A manifest references the blob.' },
  },
  v2ListReferrers: {
    summary: 'List the referrers of a manifest',
    answers: { 200: 'An image index of the referrers.', 400: MALFORMED },
    queries: [
      query('artifactType', 'List only referrers of this artifact type', 'application/spdx+json'),
      query('last', 'The last digest of the previous page', DIGEST),
    ],
    headers: { 200: link },
  },
  v2GetUpload: {
    summary: 'Show the progress of an upload',
    answers: { 204: 'The progress is in Range.', 404: 'Upload not found.' },
    headers: { 204: progress },
  },
  v2CancelUpload: {
    summary: 'Cancel an upload',
    answers: { 204: 'The upload is canceled.', 404: 'Upload not found.' },
  },
  v2ListRepositories: {
    summary: 'List repositories',
    answers: { 200: 'The repositories that you may pull from.', 400: MALFORMED },
    queries: PAGE,
    headers: { 200: link },
  },
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
    docs: V2_DOCS,
    operation,
    contentOf: ({ id }, status) =>
      status >= 400 ? { 'application/json': ERRORS } : contentOfAnswer(id, status),
  })
}

const BODY = { content: { '*/*': { schema: { type: 'string', format: 'binary' } } } } as const

function operation({ id }: Route, method: string) {
  const hasBody = method === 'PUT' || method === 'PATCH' || method === 'POST'
  return {
    tags: ['distribution'],
    parameters: V2_DOCS[id]?.queries ?? [],
    ...(hasBody && { requestBody: BODY }),
    security: [{ basic: [] }, { bearer: [] }, {}],
  }
}

/** The path parameters, by their names in the template. */
const PARTS: Record<string, Omit<OpenAPIV3.ParameterObject, 'name' | 'in'>> = {
  name: { description: 'The repository', schema: string, example: NAME },
  digest: { description: 'A digest', schema: string, example: DIGEST },
  reference: { description: 'A tag or a digest', schema: string, example: 'latest' },
  id: {
    description: 'The id of the upload, from its Location',
    schema: string,
    example: 'f7c0e4a2-5d0b-7c43-9b0e-3c1d2e4f5a6b',
  },
}
