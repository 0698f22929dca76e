/** What of a JSON Schema is told to those whose request breaks it. */
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

/** What a schema expects, in words: `a whole number from 1 to 9`; undefined where it does not say. */
export function expectationOf(schema: ExpectedSchema): string | undefined {
  if (schema.enum) return either(schema.enum.map(String))
  // A number or a truth value may come as text, too, in a query: that is the framework's affair.
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

/** What a text is, where not any text is right. */
function form({ format, pattern, description = '' }: ExpectedSchema): string | undefined {
  if (format === 'date-time') return 'a time, as 2026-01-31T12:00:00Z'
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

/** `a, b or c` */
function either(words: string[]): string {
  return [words.slice(0, -1).join(', '), ...words.slice(-1)].filter(Boolean).join(' or ')
}
