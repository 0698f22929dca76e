import type { OpenAPIV3 } from 'openapi-types'

type Schema = OpenAPIV3.SchemaObject & { patternProperties?: Record<string, Schema> }

/**
 * A schema as OpenAPI 3.0 writes it, made of one of TypeBox's, in place: records are additional properties, and a
 * number in a path or a query is a number, not text that has one.
 */
export function toPlainSchema(schema: Schema): void {
  const { patternProperties, anyOf } = schema
  if (patternProperties !== undefined) {
    const [values] = Object.values(patternProperties)
    if (values !== undefined) schema.additionalProperties = values
    delete schema.patternProperties
  }
  const number = (anyOf as Schema[] | undefined)?.find(({ type }) => type === 'integer' || type === 'number')
  const text = (anyOf as Schema[] | undefined)?.find(({ type, format }) => type === 'string' && format)
  if (number !== undefined && text?.format === number.type) {
    delete schema.anyOf
    Object.assign(schema, number)
  }
  for (const child of childrenOf(schema)) toPlainSchema(child)
}

/** The schemas that a schema is made of. */
function childrenOf(schema: Schema): Schema[] {
  const { properties = {}, additionalProperties, anyOf = [], oneOf = [], allOf = [] } = schema
  const items = 'items' in schema && schema.items ? [schema.items] : []
  const rest = typeof additionalProperties === 'object' ? [additionalProperties] : []
  return [...Object.values(properties), ...rest, ...items, ...anyOf, ...oneOf, ...allOf] as Schema[]
}
