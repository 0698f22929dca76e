/** A parsed `Accept` header (RFC 9110, 12.5.1). Weights are ignored, except that `q=0` excludes a type. */
export interface Accept {
  /** The complete types, in lower case. */
  types: ReadonlySet<string>
  /** The `type` of each `type/*`. */
  ranges: ReadonlySet<string>
  /** Whether `*`/`*` is among them. */
  any: boolean
}

/** The most types that are read. No client sends this many. */
const TYPES_MAX = 100

/** Parses an `Accept` header, with several lines joined by commas. Malformed entries are skipped. */
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

/** Reports whether a type is accepted by name, by `type/*`, or by a wildcard among other types. */
export function accepts({ types, ranges, any }: Accept, mediaType: string): boolean {
  const type = mediaType.toLowerCase()
  if (types.has(type) || (any && types.size + ranges.size > 0)) return true
  return ranges.size > 0 && ranges.has(type.slice(0, type.indexOf('/')))
}
