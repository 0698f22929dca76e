import type { OpenAPIV3 } from 'openapi-types'

/** A schema of TypeBox's, with what OpenAPI 3.0 writes otherwise. */
type Schema = OpenAPIV3.SchemaObject & {
  const?: unknown
  examples?: unknown[]
  patternProperties?: Record<string, Schema>
}

/**
 * A schema as OpenAPI 3.0 writes it, made of one of TypeBox's, in place: records are additional properties, constants
 * are enumerations, and a number in a path or a query is a number, not text that has one.
 */
export function toPlainSchema(schema: Schema): void {
  for (const child of childrenOf(schema)) toPlainSchema(child)
  if (schema.patternProperties !== undefined) {
    const [values] = Object.values(schema.patternProperties)
    if (values !== undefined) schema.additionalProperties = values
    delete schema.patternProperties
  }
  if (schema.const !== undefined) {
    schema.enum = [schema.const]
    delete schema.const
  }
  if (schema.examples !== undefined) {
    schema.example ??= schema.examples[0]
    delete schema.examples
  }
  const alternatives = (schema.anyOf ?? []) as Schema[]
  if (alternatives.length > 0) joinAlternatives(schema, alternatives)
}

/** Alternatives that are one schema: a number and the text of one, texts to choose from, something or null. */
function joinAlternatives(schema: Schema, alternatives: Schema[]): void {
  const isNull = (one: Schema) => (one.type as string) === 'null'
  const number = alternatives.find(({ type }) => type === 'integer' || type === 'number')
  const rest = alternatives.filter((one) => !isNull(one) && !(number && one.format === number.type))
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

/** The schemas that a schema is made of. */
function childrenOf(schema: Schema): Schema[] {
  const { properties = {}, additionalProperties, patternProperties = {}, anyOf = [], allOf = [] } = schema
  const items = 'items' in schema && schema.items ? [schema.items] : []
  const more = typeof additionalProperties === 'object' ? [additionalProperties] : []
  const named = [...Object.values(properties), ...Object.values(patternProperties)]
  return [...named, ...more, ...items, ...anyOf, ...allOf] as Schema[]
}

/** A value that the schema describes: made of the examples of its parts, the first of the values to choose from, ... */
export function exampleOf(schema: Schema): unknown {
  const given = schema.example ?? schema.default ?? schema.enum?.[0]
  if (given !== undefined) return given
  const [first] = [...(schema.anyOf ?? []), ...(schema.allOf ?? [])] as Schema[]
  if (first !== undefined) return exampleOf(first)
  switch (schema.type) {
    case 'object':
      return exampleObject(schema)
    case 'array':
      return [exampleOf(schema.items as Schema)]
    case 'integer':
    case 'number':
      return schema.minimum ?? 1
    case 'boolean':
      return false
    default:
      return schema.format === 'date-time' ? '2026-01-31T12:00:00.000Z' : 'text'
  }
}

function exampleObject({ properties = {}, additionalProperties }: Schema): object {
  const parts = Object.entries(properties).map(([name, schema]) => [name, exampleOf(schema as Schema)])
  if (typeof additionalProperties === 'object')
    parts.push(['name', exampleOf(additionalProperties as Schema)])
  return Object.fromEntries(parts)
}
