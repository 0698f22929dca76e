/** One challenge of a WWW-Authenticate header (RFC 9110, 11.6.1), its scheme in lower case. */
export interface Challenge {
  scheme: string
  parameters: Readonly<Record<string, string>>
}

/** Headers are read no further than this many characters. */
const HEADER_CHARACTERS_MAX = 8192

/** A scheme, or a parameter with its value, quoted or not. */
const PART = /[\s,]*([!#$%&'*+\-.^_`|~\w]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*)))?/y

/** Parses every challenge of a header; several headers may have been joined by commas. Malformed parts are skipped. */
export function parseChallenges(header: string): Challenge[] {
  const text = header.slice(0, HEADER_CHARACTERS_MAX)
  const challenges: { scheme: string; parameters: Record<string, string> }[] = []
  const part = new RegExp(PART)
  for (;;) {
    const match = part.exec(text)
    if (match === null) return challenges
    const [, name = '', quoted, plain] = match
    const value = quoted?.replace(/\\(.)/g, '$1') ?? plain
    const current = challenges.at(-1)
    if (value === undefined) challenges.push({ scheme: name.toLowerCase(), parameters: {} })
    else if (current !== undefined) current.parameters[name.toLowerCase()] = value
  }
}
