import type { OpenAPIV3 } from 'openapi-types'

type Schema = OpenAPIV3.SchemaObject & Record<`x-${string}`, unknown>

/** Keywords that do not restrict values. */
const NOTES = [
  'description',
  'example',
  'default',
  'title',
  'nullable',
  'x-media-type',
  'readOnly',
  'deprecated',
]

const FORMATS: Record<string, RegExp> = {
  date: /^\d{4}-\d\d-\d\d$/,
  'date-time': /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/,
  'uri-reference': /^[\w\-._~:/?#[\]@!$&'()*+,;=%]+$/,
  uuid: /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/,
}

/**
 * Returns the violations of a schema, one line each. Stricter than OpenAPI: an object may have no
 * properties other than the described ones.
 *
 * @throws Error for an unsupported keyword
 */
export function faultsOf(
  value: unknown,
  schema: Schema,
  components: Record<string, Schema>,
  at = '',
): string[] {
  if ('$ref' in schema) {
    const target = components[String(schema.$ref).replace('#/components/schemas/', '')]
    return target ? faultsOf(value, target, components, at) : [`${at}: ${schema.$ref} is not there`]
  }
  if (value === null && schema.nullable) return []
  return Object.entries(schema).flatMap(([keyword, wanted]) => {
    if (NOTES.includes(keyword)) return []
    const check = CHECKS[keyword]
    if (check === undefined) throw new Error(`${at}: ${keyword} is not checked`)
    const found = check({ value, wanted: wanted as never, schema, components, at })
    if (typeof found !== 'boolean') return found
    return found
      ? []
      : [`${at || 'the value'}: ${JSON.stringify(value)} is not as ${keyword} says: ${wanted}`]
  })
}

interface Checked {
  value: unknown
  /** The keyword's value. */
  wanted: never
  schema: Schema
  components: Record<string, Schema>
  at: string
}

/** Checks a keyword: returns whether it holds, or the violations inside. Values of other types always pass. */
const CHECKS: Record<string, (checked: Checked) => boolean | string[]> = {
  type: ({ value, wanted }) => isOfType(value, wanted),
  enum: ({ value, wanted }) => (wanted as unknown[]).includes(value),
  format: ({ value, wanted }) =>
    typeof value !== 'string' || (FORMATS[wanted]?.test(value) ?? isOther(wanted)),
  pattern: ({ value, wanted }) => typeof value !== 'string' || new RegExp(wanted, 'u').test(value),
  minLength: ({ value, wanted }) => typeof value !== 'string' || value.length >= wanted,
  maxLength: ({ value, wanted }) => typeof value !== 'string' || value.length <= wanted,
  minimum: ({ value, wanted }) => typeof value !== 'number' || value >= wanted,
  maximum: ({ value, wanted }) => typeof value !== 'number' || value <= wanted,
  minItems: ({ value, wanted }) => !Array.isArray(value) || value.length >= wanted,
  maxItems: ({ value, wanted }) => !Array.isArray(value) || value.length <= wanted,
  required: ({ value, wanted }) =>
    !isObject(value) || (wanted as string[]).every((name) => value[name] !== undefined),
  items: ({ value, wanted, components, at }) =>
    !Array.isArray(value) ||
    value.flatMap((one, index) => faultsOf(one, wanted, components, `${at}[${index}]`)),
  anyOf: ({ value, wanted, components, at }) =>
    (wanted as Schema[]).some((one) => faultsOf(value, one, components, at).length === 0),
  properties: ({ value, schema, components, at }) =>
    !isObject(value) || properties(value, schema, components, at),
  additionalProperties: ({ value, schema, components, at }) =>
    !isObject(value) || properties(value, schema, components, at),
}

function properties(
  value: Record<string, unknown>,
  { properties: known = {}, additionalProperties: more = false }: Schema,
  components: Record<string, Schema>,
  at: string,
): string[] {
  return Object.entries(value).flatMap(([name, one]) => {
    const place = `${at}.${name}`
    const schema = known[name] ?? more
    if (typeof schema === 'object') return faultsOf(one, schema as Schema, components, place)
    return schema ? [] : [`${place} is not described`]
  })
}

function isOfType(value: unknown, type: string): boolean {
  switch (type) {
    case 'object':
      return isObject(value)
    case 'array':
      return Array.isArray(value)
    case 'integer':
      return Number.isInteger(value)
    default:
      return typeof value === type
  }
}

/** Accepts the formats that do not restrict a string; throws for unknown ones. */
function isOther(format: string): boolean {
  if (['binary', 'int64', 'password'].includes(format)) return true
  throw new Error(`the format ${format} is not checked`)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
