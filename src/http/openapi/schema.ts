import type { OpenAPIV3 } from 'openapi-types'
import { EXAMPLE_ENTRIES, EXAMPLE_TEXTS } from './example-texts.ts'

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
