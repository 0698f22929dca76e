/** What an `Accept` header says (RFC 9110, 12.5.1). Weights do not matter here, but for `q=0`: not that one. */
export interface Accept {
  /** Types that are named whole, in lower case. */
  types: ReadonlySet<string>
  /** The `type` of each `type/*`. */
  ranges: ReadonlySet<string>
  /** Whether `*`/`*` is among them. */
  any: boolean
}

/** More types than any client names; further ones are not read. */
const TYPES_MAX = 100

/** Reads an `Accept` header, several lines of it joined by commas. What is malformed is skipped. */
export function parseAccept(header: string | null): Accept {
  const types = new Set<string>()
  const ranges = new Set<string>()
  let any = false
  for (const entry of (header ?? '').split(',', TYPES_MAX)) {
    const [name = '', ...parameters] = entry.split(';').map((part) => part.trim().toLowerCase())
    if (name === '' || parameters.some((parameter) => /^q=0(?:\.0{0,3})?$/.test(parameter))) continue
    if (name === '*/*') any = true
    else if (name.endsWith('/*')) ranges.add(name.slice(0, -2))
    else types.add(name)
  }
  return { types, ranges, any }
}

/** Whether a type is accepted by name, by `type/*`, or by a wildcard that stands among others. */
export function accepts({ types, ranges, any }: Accept, mediaType: string): boolean {
  const type = mediaType.toLowerCase()
  if (types.has(type) || (any && types.size + ranges.size > 0)) return true
  return ranges.size > 0 && ranges.has(type.slice(0, type.indexOf('/')))
}
