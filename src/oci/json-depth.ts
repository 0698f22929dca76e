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
