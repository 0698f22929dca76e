/**
 * Deeper JSON is not taken where it is written again: what can still be read takes JSON.stringify a second of doing
 * nothing else, and a little more of it an error. Nothing that people make is near.
 */
export const JSON_LEVELS_MAX = 100

/** Whether JSON text, in UTF-8, nests deeper than JSON_LEVELS_MAX. Looks at each byte once, and makes nothing. */
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

/** Whether JSON text, in UTF-8, has more members of objects and entries of arrays than `max`. Makes nothing. */
export function hasMoreItems(json: Uint8Array, max: number): boolean {
  // Each has a comma or a bracket of its own.
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
/** The closing ones are two further. */
const BRACKET = 0x5b
const BRACE = 0x7b
