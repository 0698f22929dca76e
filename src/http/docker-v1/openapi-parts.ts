import type { OpenAPIV3 } from 'openapi-types'
import { list, NAME, object, string as text } from '../distribution/openapi-parts.ts'

/* Request and response schemas of Docker's V1 API for the OpenAPI document, by row id. */

type Schema = OpenAPIV3.SchemaObject
type Media = OpenAPIV3.MediaTypeObject

const LEAF = 'b96aa2ad20a4e75c0b1d4dcfcf1b7a1bb1c7e3ff1c0e7d3b6a2f4e8d9c0a1b2c'
const BASE = '00d96aa2ad20a4e75c0b1d4dcfcf1b7a1bb1c7e3ff1c0e7d3b6a2f4e8d9c0a1b'

const integer: Schema = { type: 'integer' }
const boolean: Schema = { type: 'boolean' }
const id: Schema = { type: 'string', pattern: '^[0-9a-f]{64}$' }

/** The path parameters, by their names in the template. */
export const PARTS: Record<string, Omit<OpenAPIV3.ParameterObject, 'name' | 'in'>> = {
  name: { description: 'The repository', schema: text, example: NAME },
  tag: { description: 'The tag', schema: text, example: 'latest' },
  id: { description: 'The image', schema: id, example: LEAF },
  account: { description: 'The account', schema: text, example: 'alice' },
}

/** The query parameters of a row. */
export const QUERIES: Partial<Record<string, OpenAPIV3.ParameterObject[]>> = {
  v1Search: [
    {
      in: 'query',
      name: 'q',
      description: 'Part of the name or description',
      schema: text,
      example: 'alpine',
    },
    { in: 'query', name: 'n', description: 'Entries per page, at most 100', schema: integer, example: 25 },
    { in: 'query', name: 'page', description: 'The page number, starting at 1', schema: integer, example: 1 },
  ],
}

/** The request bodies of a row. */
export const BODIES: Partial<Record<string, Media>> = {
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
export const ANSWERS: Partial<Record<string, Media>> = {
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
export const REGISTERED: Media = {
  schema: { anyOf: [text, object({ error: text, issue: text })] },
  example: 'Username or email already exists',
}
