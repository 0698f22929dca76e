/**
 * The deepest JSON that is accepted where it must be serialized again. JSON.stringify blocks for a second on the
 * deepest JSON that can be parsed, and fails on slightly deeper JSON. Real documents are nowhere near this.
 */
export const JSON_LEVELS_MAX = 100

/** Reports whether UTF-8 JSON nests deeper than JSON_LEVELS_MAX. Reads each byte once and allocates nothing. */
export function isNestedDeep(json: Uint8Array): boolean {
  let [levels, inString] = [0, false]
  for (let index = 0; index < json.length; index++) {
    const byte = json[index]
    if (byte === QUOTE) inString = !inString
    else if (inString) index += byte === BACKSLASH ? 1 : 0
    else if (byte === BRACE || byte === BRACKET) levels++
    else if (byte === BRACE + 2 || byte === BRACKET + 2) levels--
    if (levels > JSON_LEVELS_MAX) return true
  }
  return false
}

/** Reports whether UTF-8 JSON has more than `max` object members and array entries. Allocates nothing. */
export function hasMoreItems(json: Uint8Array, max: number): boolean {
  // Each member or entry has its own comma or bracket.
  if (json.length < 2 * max) return false
  let [items, inString] = [0, false]
  for (let index = 0; index < json.length; index++) {
    const byte = json[index]
    if (byte === QUOTE) inString = !inString
    else if (inString) index += byte === BACKSLASH ? 1 : 0
    else if (byte === COMMA || byte === BRACE || byte === BRACKET) items++
    if (items > max) return true
  }
  return false
}

const QUOTE = 0x22
const COMMA = 0x2c
const BACKSLASH = 0x5c
/** The code of each closing bracket is two higher. */
const BRACKET = 0x5b
const BRACE = 0x7b

/* Readers of JSON that is shown to people. Values of an unexpected type count as absent. */

export type Json = Readonly<Record<string, unknown>>

/** Parses a JSON object. Returns an empty one when the text is not an object. */
export function parseLeniently(bytes: Uint8Array | string): Json {
  try {
    return objectOf(
      JSON.parse(typeof bytes === 'string' ? bytes : new TextDecoder('utf-8', { fatal: true }).decode(bytes)),
    )
  } catch {
    return {}
  }
}

/** Reports whether a value is a JSON object. */
export function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

export function objectOf(value: unknown): Json {
  return isObject(value) ? value : {}
}

export function objectsOf(value: unknown): Json[] {
  return Array.isArray(value) ? value.map(objectOf) : []
}

export function stringOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

export function stringsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : []
}

/** Returns the string members of an object. */
export function textsOf(value: unknown): Record<string, string> {
  const texts = Object.entries(objectOf(value)).filter(
    (one): one is [string, string] => typeof one[1] === 'string',
  )
  return Object.fromEntries(texts)
}

/** Returns a number of bytes. */
export function bytesOf(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0
}

/** Returns a time in RFC 3339 form, in UTC with milliseconds, or undefined when it is invalid or out of range. */
export function timeOf(value: unknown): string | undefined {
  const time = typeof value === 'string' ? new Date(value) : new Date(Number.NaN)
  const year = time.getUTCFullYear()
  return year >= 1 && year <= 9999 ? time.toISOString() : undefined
}

/** Reports whether Go can parse this RFC 3339 time. Go clients refuse the whole manifest otherwise. */
export function isTime(value: unknown): value is string {
  const form = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/
  return typeof value === 'string' && form.test(value) && !Number.isNaN(Date.parse(value))
}
