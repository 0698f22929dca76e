/** The part of a JSON Schema that `expectationOf` describes. */
export interface ExpectedSchema {
  type?: string
  description?: string
  enum?: readonly unknown[]
  anyOf?: readonly ExpectedSchema[]
  format?: string
  pattern?: string
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  maxItems?: number
}

/** Describes what a schema accepts, such as `a whole number from 1 to 9`; undefined if it has no description. */
export function expectationOf(schema: ExpectedSchema): string | undefined {
  if (schema.enum) return either(schema.enum.map(String))
  // Elysia adds a string alternative for numbers and booleans in queries. It is left out here.
  const forms = schema.anyOf?.filter(({ type, format }) => type !== 'string' || format === undefined)
  if (forms) return eitherKnown(forms.map(expectationOf))
  const { type, minimum, maximum, minLength, maxLength, maxItems } = schema
  switch (type) {
    case 'null':
      return type
    case 'boolean':
      return 'true or false'
    case 'integer':
      return ['a whole number', range(minimum, maximum)].filter(Boolean).join(' ')
    case 'array':
      return maxItems === undefined ? 'a list' : `a list of at most ${maxItems}`
    case 'string':
      return [form(schema), lengths(minLength, maxLength)].filter(Boolean).join('; ') || 'text'
    default:
      return undefined
  }
}

/** Describes a string's format; undefined if any string is valid. */
function form({ format, pattern, description = '' }: ExpectedSchema): string | undefined {
  if (format === 'date-time') return 'a time such as 2026-01-31T12:00:00Z'
  if (pattern === undefined) return undefined
  return description.replace(/^[A-Z](?=[a-z])/, (letter) => letter.toLowerCase())
}

function lengths(minLength?: number, maxLength?: number): string | undefined {
  if (minLength === undefined && maxLength === undefined) return undefined
  if (maxLength === undefined) return minLength === 1 ? 'not empty' : `at least ${minLength} characters`
  return minLength === undefined
    ? `at most ${maxLength} characters`
    : `${minLength} to ${maxLength} characters`
}

function range(minimum?: number, maximum?: number): string | undefined {
  if (minimum === undefined && maximum === undefined) return undefined
  if (maximum === undefined) return `of at least ${minimum}`
  return minimum === undefined ? `of at most ${maximum}` : `from ${minimum} to ${maximum}`
}

function eitherKnown(words: (string | undefined)[]): string | undefined {
  const known = words.filter((word) => word !== undefined)
  return known.length < words.length || known.length === 0 ? undefined : either([...new Set(known)])
}

/** Joins words as `a, b or c`. */
function either(words: string[]): string {
  return [words.slice(0, -1).join(', '), ...words.slice(-1)].filter(Boolean).join(' or ')
}
