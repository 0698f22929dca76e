import { registryError } from '../../oci/error.ts'

/** Characters of a pattern. */
const CHARACTERS_MAX = 128

/** Characters of tags, `*`, `?`, and sets such as `[0-9]`. */
const SHAPE = /^(?:[\w.*?-]|\[[!^]?[\w.-]+\])+$/

/** Parses a pattern for tags: `*` matches any characters, `?` one, and `[0-9]` one of a set. Throws REQUEST_INVALID. */
export function parseTagPattern(text: string): string {
  if (text.length <= CHARACTERS_MAX && SHAPE.test(text)) return text
  throw registryError(
    'REQUEST_INVALID',
    `${JSON.stringify(text.slice(0, CHARACTERS_MAX))} is not a pattern for tags: use at most ${CHARACTERS_MAX} ` +
      'characters of tags, "*" for any characters, "?" for one, and "[0-9]" for one of a set',
  )
}

/** Finds the first pattern that matches a tag. Takes time linear in the length of the tag. */
export type FindPattern = (tag: string) => string | undefined

export function tagMatcher(patterns: readonly string[]): FindPattern {
  const globs = patterns.map((text) => ({ text, glob: new Bun.Glob(text) }))
  return (tag) => globs.find(({ glob }) => glob.match(tag))?.text
}
