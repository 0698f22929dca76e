import type { OpenAPIV3 } from 'openapi-types'

/** A TypeBox schema, with the keywords that OpenAPI 3.0 does not have. */
type Schema = OpenAPIV3.SchemaObject & {
  const?: unknown
  patternProperties?: Record<string, Schema>
}

/**
 * Converts a TypeBox schema to OpenAPI 3.0 in place: records become additional properties, constants become enums, and
 * numbers and booleans in paths and queries lose their string alternative.
 */
export function toPlainSchema(schema: Schema): void {
  for (const child of childrenOf(schema)) toPlainSchema(child)
  if (schema.patternProperties !== undefined) {
    const [values] = Object.values(schema.patternProperties)
    if (values !== undefined) schema.additionalProperties = values
    delete schema.patternProperties
  }
  // Elysia adds it to a schema with the first request, and ignores unknown properties.
  if (schema.additionalProperties === false) delete schema.additionalProperties
  // `t.Never()` is `{ not: {} }`.
  if (Object(schema.additionalProperties).not !== undefined) schema.additionalProperties = false
  if (schema.const !== undefined) {
    schema.enum = [schema.const]
    delete schema.const
  }
  const alternatives = (schema.anyOf ?? []) as Schema[]
  if (alternatives.length > 0) joinAlternatives(schema, alternatives)
}

/** Merges alternatives that OpenAPI writes as one schema: a number or a boolean and its string form, enums, and a value or null. */
function joinAlternatives(schema: Schema, alternatives: Schema[]): void {
  const isNull = (one: Schema) => (one.type as string) === 'null'
  const written = alternatives.find(({ type }) => ['integer', 'number', 'boolean'].includes(String(type)))
  const rest = alternatives.filter((one) => !isNull(one) && !(written && one.format === written.type))
  if (rest.length < alternatives.length && alternatives.some(isNull)) schema.nullable = true
  const [first = {}] = rest
  if (rest.length > 1 && !rest.every((one) => one.enum && one.type === first.type)) {
    schema.anyOf = rest
    return
  }
  delete schema.anyOf
  const { description = first.description } = schema
  Object.assign(schema, first, description === undefined ? {} : { description })
  if (rest.length > 1) schema.enum = rest.flatMap((one) => one.enum ?? [])
}

/** Returns the subschemas of a schema. */
function childrenOf(schema: Schema): Schema[] {
  const { properties = {}, additionalProperties, patternProperties = {}, anyOf = [] } = schema
  const items = 'items' in schema && schema.items ? [schema.items] : []
  const more = typeof additionalProperties === 'object' ? [additionalProperties] : []
  const named = [...Object.values(properties), ...Object.values(patternProperties)]
  return [...named, ...more, ...items, ...anyOf] as Schema[]
}

/** Returns an example of a request's body: the required parts, and the optional parts with their own example. */
export function requestExampleOf(schema: Schema): unknown {
  if (schema.example !== undefined || schema.properties === undefined) return exampleOf(schema)
  const { properties, required = [] } = schema
  const sent = Object.entries(properties as Record<string, Schema>).filter(
    ([name, { example }]) => required.includes(name) || example !== undefined,
  )
  return Object.fromEntries(sent.map(([name, part]) => [name, exampleOf(part, name)]))
}

/**
 * Returns an example value, from the schema's example, default, first enum value, or the examples of its parts.
 *
 * @param name the name of the field or parameter
 */
export function exampleOf(schema: Schema, name = ''): unknown {
  const given = schema.example ?? schema.default ?? schema.enum?.[0]
  if (given !== undefined) return given
  if (schema.anyOf?.[0] !== undefined) return exampleOf(schema.anyOf[0] as Schema, name)
  switch (schema.type) {
    case 'object':
      return exampleObject(schema, name)
    case 'array':
      return [exampleOf(schema.items as Schema, name)]
    case 'integer':
    case 'number':
      return schema.minimum ?? 1
    case 'boolean':
      return false
    default:
      return schema.format === 'date-time' ? '2026-01-31T12:00:00.000Z' : (EXAMPLE_TEXTS[name] ?? 'text')
  }
}

function exampleObject({ properties = {}, additionalProperties }: Schema, name: string): object {
  const parts: (readonly [string, unknown])[] = Object.entries(properties).map(([part, schema]) => [
    part,
    exampleOf(schema as Schema, part),
  ])
  if (typeof additionalProperties === 'object')
    parts.push(EXAMPLE_ENTRIES[name] ?? ['name', exampleOf(additionalProperties as Schema)])
  return Object.fromEntries(parts)
}

/** An entry of each map, by the name of the field that holds the map. */
const EXAMPLE_ENTRIES: Readonly<Record<string, readonly [name: string, value: unknown]>> = {
  annotations: ['org.opencontainers.image.version', '1.0.0'],
  detail: ['name', 'library/alpine'],
  details: ['role', 'writer'],
  labels: ['org.opencontainers.image.version', '1.0.0'],
  result: ['manifests', 2],
}

/** Examples of texts by the names of their fields, for schemas without an example of their own. */
const EXAMPLE_TEXTS: Readonly<Record<string, string>> = {
  access_token: 'eyJhbGciOiJFUzI1NiJ9.eyJhY2Nlc3MiOltdfQ.c2lnbmF0dXJl',
  account: 'alice',
  action: 'token.create',
  artifactType: 'application/spdx+json',
  author: 'Alice <alice@example.com>',
  ca: '-----BEGIN CERTIFICATE-----\n...\n-----END CERTIFICATE-----\n',
  code: 'NAME_INVALID',
  command: '/bin/sh',
  comment: 'buildkit.dockerfile.v0',
  commit: '6c46098d1e2f',
  credentialId: '0b9c1f6e-3a52-4c0e-9d3a-5f0f8a7c2b11',
  csrfToken: 'kZ3vB0Sg8b0vLr0m1T2Zq4m0o9mJv2K8mVtN2b0fXkQ',
  description: 'How many connections to accept',
  digest: `sha256:${'0'.repeat(64)}`,
  entrypoint: '/entrypoint.sh',
  environment: 'PATH=/usr/bin:/bin',
  error: 'cancelled',
  id: '0b9c1f6e-3a52-4c0e-9d3a-5f0f8a7c2b11',
  layer: `sha256:${'0'.repeat(64)}`,
  message: 'invalid repository name',
  mirrors: 'https://mirror.example',
  name: 'laptop',
  nextCursor: 'alice',
  osVersion: '10.0.20348.2527',
  ports: '8080/tcp',
  proxy: 'http://proxy.example:3128',
  referencedBy: 'latest',
  refresh_token: 'cay_QmFzZTY0dXJsIGlzIGEgZ29vZCBlbmNvZGluZw',
  repository: 'library/alpine',
  requestId: '3f2a91c0-1k',
  scope: 'repository:library/alpine:pull',
  secret: 'cay_QmFzZTY0dXJsIGlzIGEgZ29vZCBlbmNvZGluZw',
  startedBy: 'alice',
  status: 'ok',
  tag: 'latest',
  tags: 'latest',
  target: 'alice',
  title: 'Not found',
  token: 'eyJhbGciOiJFUzI1NiJ9.eyJhY2Nlc3MiOltdfQ.c2lnbmF0dXJl',
  type: '/problems/not-found',
  user: 'nobody',
  username: 'alice',
  value: '127.0.0.1:5000',
  version: '0.1.0',
  volumes: '/data',
  workingDirectory: '/app',
}
