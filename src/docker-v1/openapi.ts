import type { OpenAPIV3 } from 'openapi-types'
import {
  BYTES,
  ERRORS,
  list,
  NAME,
  object,
  type RowDescription,
  tablePaths,
  string as text,
} from '../http/table-paths.ts'
import { refuse, V1_PATH_TEMPLATES } from './exchange.ts'
import { V1_ROUTES, type V1Access, type V1Route } from './routes.ts'

/** Returns the OpenAPI paths of /v1. */
export function v1Paths(): OpenAPIV3.PathsObject {
  return tablePaths(listedRoutes(), {
    templates: V1_PATH_TEMPLATES,
    parts: PARTS,
    docs: DOCS,
    operation,
    contentOf,
  })
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
    parameters: DOCS[id]?.queries ?? [],
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

/* Request and response schemas of Docker's V1 API for the OpenAPI document, by row id. */

type Schema = OpenAPIV3.SchemaObject
type Media = OpenAPIV3.MediaTypeObject

const LEAF = 'b96aa2ad20a4e75c0b1d4dcfcf1b7a1bb1c7e3ff1c0e7d3b6a2f4e8d9c0a1b2c'
const BASE = '00d96aa2ad20a4e75c0b1d4dcfcf1b7a1bb1c7e3ff1c0e7d3b6a2f4e8d9c0a1b'

const integer: Schema = { type: 'integer' }
const boolean: Schema = { type: 'boolean' }
const id: Schema = { type: 'string', pattern: '^[0-9a-f]{64}$' }

/** The path parameters, by their names in the template. */
const PARTS: Record<string, Omit<OpenAPIV3.ParameterObject, 'name' | 'in'>> = {
  name: { description: 'The repository', schema: text, example: NAME },
  tag: { description: 'The tag', schema: text, example: 'latest' },
  id: { description: 'The image', schema: id, example: LEAF },
  account: { description: 'The account', schema: text, example: 'alice' },
}

const UNKNOWN = 'Not found, or not available through V1; the message says why.'

/** What each row does. The first request of a push stands for all of them. */
const DOCS: Readonly<Record<string, RowDescription>> = {
  v1Ping: {
    summary: 'Check that this registry supports V1',
    answers: { 200: 'OK.' },
  },
  v1InternalPing: {
    summary: 'Check that this registry supports V1',
    answers: { 200: 'OK.' },
  },
  v1Search: {
    queries: [
      {
        in: 'query',
        name: 'q',
        description: 'Part of the name or description',
        schema: text,
        example: 'alpine',
      },
      { in: 'query', name: 'n', description: 'Entries per page, at most 100', schema: integer, example: 25 },
      {
        in: 'query',
        name: 'page',
        description: 'The page number, starting at 1',
        schema: integer,
        example: 1,
      },
    ],
    summary: 'Search the repositories that you may pull from, by name or description',
    answers: { 200: 'A page of repositories.' },
  },
  v1CheckPassword: {
    summary: 'Check a name and password, as the first step of a login; never creates an account',
    answers: { 400: '"Username or email already exists" if the password is correct, otherwise the error.' },
  },
  v1GetAccount: {
    summary: 'Show the signed-in account',
    answers: { 200: 'The name of the account.' },
  },
  v1PutPassword: {
    summary: 'Change the password of the signed-in account',
    answers: { 204: 'The password is changed.', 400: 'The password is missing or too short.' },
  },
  v1ListImages: {
    summary: 'Start a pull: returns a token and the host of the images; the list itself is empty',
    answers: { 200: 'An empty list.', 404: UNKNOWN },
  },
  v1ListTags: {
    summary: 'List tags with their image ids',
    answers: { 200: 'The tags.', 404: UNKNOWN },
  },
  v1GetTag: {
    summary: 'Show the image id of a tag',
    answers: { 200: 'The image id.', 404: UNKNOWN },
  },
  v1GetImage: {
    summary: 'Show an image; X-Docker-Size is the size of its layer',
    answers: { 200: 'The image.', 404: UNKNOWN },
  },
  v1ListAncestors: {
    summary: 'List the ids of an image and its ancestors',
    answers: { 200: 'The ids, base image last.', 404: UNKNOWN },
  },
  v1GetLayer: {
    summary: 'Pull the layer of an image',
    answers: {
      200: 'The layer.',
      206: 'The requested range.',
      304: 'Not modified.',
      404: UNKNOWN,
      416: 'The range is outside the layer.',
    },
  },
  v1PushRepository: {
    summary: 'Push; always refused, as are the other requests of a push',
    answers: { 405: 'V1 does not support pushes: push with Docker 1.6 or newer.' },
  },
}

/** The request bodies of a row. */
const BODIES: Partial<Record<string, Media>> = {
  v1CheckPassword: {
    schema: object({ username: text, password: text, email: text }, ['username', 'password']),
    example: { username: 'alice', password: 'correct-horse' },
  },
  v1PutPassword: { schema: object({ password: text }), example: { password: 'correct-horse' } },
}

/** An image's own fields and its run configuration, as its builder wrote them. */
const said: Schema[] = [text, { type: 'number' }, boolean, list(text)]
const saidBelow: Schema = {
  type: 'object',
  additionalProperties: { nullable: true, anyOf: [...said, { type: 'object', additionalProperties: text }] },
}

const image: Schema = {
  ...object(
    { id, parent: id, created: text, Size: { ...integer, description: 'The size of the layer in bytes' } },
    ['id', 'Size'],
  ),
  additionalProperties: { nullable: true, anyOf: [...said, saidBelow] },
}

const found = object({
  name: text,
  description: text,
  is_public: boolean,
  is_official: boolean,
  is_automated: boolean,
  star_count: integer,
  href: text,
})

const results = object({
  query: text,
  num_results: integer,
  num_pages: integer,
  page: integer,
  page_size: integer,
  results: list(found),
})

/** The body of a row's 200 response. */
const ANSWERS: Partial<Record<string, Media>> = {
  v1Ping: { schema: boolean, example: true },
  v1InternalPing: { schema: boolean, example: true },
  v1Search: {
    schema: results,
    example: {
      query: 'alpine',
      num_results: 1,
      num_pages: 1,
      page: 1,
      page_size: 25,
      results: [
        {
          name: NAME,
          description: '',
          is_public: true,
          is_official: false,
          is_automated: false,
          star_count: 0,
          href: `/v1/repositories/${NAME}/tags`,
        },
      ],
    },
  },
  v1GetAccount: {
    schema: object({ username: { ...text, nullable: true }, email: { ...text, nullable: true } }),
    example: { username: 'alice', email: null },
  },
  v1ListImages: { schema: { ...list(text), maxItems: 0 }, example: [] },
  v1ListTags: {
    schema: { type: 'object', additionalProperties: id, description: 'Image ids by tag' },
    example: { latest: LEAF },
  },
  v1GetTag: { schema: id, example: LEAF },
  v1GetImage: {
    schema: image,
    example: { id: LEAF, parent: BASE, created: '2026-01-02T03:04:05Z', Size: 3 },
  },
  v1ListAncestors: { schema: list(id), example: [LEAF, BASE] },
}

/** The first step of a login always fails: the name is taken, or the login is wrong. */
const REGISTERED: Media = {
  schema: { anyOf: [text, object({ error: text, issue: text })] },
  example: 'Username or email already exists',
}
