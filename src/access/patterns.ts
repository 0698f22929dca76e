import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** A pattern for repository names: `*` matches one component, and `**` (at most once) matches one or more. */
export interface RepositoryPattern {
  text: string
  /** The components before `**`, or all of them. Undefined stands for `*`. */
  before: (string | undefined)[]
  /** The components after `**`. Undefined when there is no `**`. */
  after: (string | undefined)[] | undefined
}

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const CHARACTERS_MAX = 255

/** Parses a pattern. Throws NAME_INVALID. */
export function parseRepositoryPattern(text: string): RepositoryPattern {
  const components = text.split('/')
  const gap = components.indexOf('**')
  const isOk = components.every(
    (one, at) => one === '*' || (one === '**' && at === gap) || COMPONENT.test(one),
  )
  if (text.length > CHARACTERS_MAX || !isOk) {
    throw registryError(
      'NAME_INVALID',
      `${JSON.stringify(text.slice(0, CHARACTERS_MAX))} is not a repository pattern: use name components, "*" for ` +
        'any one of them, and at most one "**" for one or more',
    )
  }
  const parts = components.map((one) => (one === '*' ? undefined : one))
  if (gap < 0) return { text, before: parts, after: undefined }
  return { text, before: parts.slice(0, gap), after: parts.slice(gap + 1) }
}

/** Reports whether the pattern matches a repository. */
export function matchesPattern({ before, after }: RepositoryPattern, name: RepositoryName): boolean {
  const components = name.split('/')
  const fixed = before.length + (after?.length ?? 0)
  if (after === undefined ? components.length !== fixed : components.length <= fixed) return false
  const end = components.length - (after?.length ?? 0)
  return (
    before.every((one, at) => one === undefined || components[at] === one) &&
    (after ?? []).every((one, at) => one === undefined || components[end + at] === one)
  )
}

/** A set of repository names, such as those that a caller may pull from. */
export interface RepositorySet {
  has(name: RepositoryName): boolean
  /**
   * Returns a name at or after `from`, in byte order, such that no member lies between the two. Returns undefined when
   * no member follows. Lists use it to skip what a caller may not see.
   */
  seek(from: string): string | undefined
}

/** Every repository. */
export const EVERYTHING: RepositorySet = { has: () => true, seek: (from) => from }

/** The repositories that are in each of the sets. */
export function inAll(sets: readonly RepositorySet[]): RepositorySet {
  return {
    has: (name) => sets.every((set) => set.has(name)),
    seek: (from) => {
      let found: string | undefined = from
      for (const set of sets) if (found !== undefined) found = set.seek(found)
      return found
    },
  }
}

/** The repositories that are in any of the sets. */
export function inAny(sets: readonly RepositorySet[]): RepositorySet {
  return {
    has: (name) => sets.some((set) => set.has(name)),
    seek: (from) => {
      let first: string | undefined
      for (const set of sets) {
        const found = set.seek(from)
        if (found !== undefined && (first === undefined || found < first)) first = found
      }
      return first
    },
  }
}

/** Characters of a pattern. */
const TAG_CHARACTERS_MAX = 128

/** Characters of tags, `*`, `?`, and sets such as `[0-9]`. */
const SHAPE = /^(?:[\w.*?-]|\[[!^]?[\w.-]+\])+$/

/** Parses a pattern for tags: `*` matches any characters, `?` one, and `[0-9]` one of a set. Throws REQUEST_INVALID. */
export function parseTagPattern(text: string): string {
  if (text.length <= TAG_CHARACTERS_MAX && SHAPE.test(text)) return text
  throw registryError(
    'REQUEST_INVALID',
    `${JSON.stringify(text.slice(0, TAG_CHARACTERS_MAX))} is not a pattern for tags: use at most ${TAG_CHARACTERS_MAX} ` +
      'characters of tags, "*" for any characters, "?" for one, and "[0-9]" for one of a set',
  )
}

/** Finds the first pattern that matches a tag. Takes time linear in the length of the tag. */
export type FindPattern = (tag: string) => string | undefined

export function tagMatcher(patterns: readonly string[]): FindPattern {
  const globs = patterns.map((text) => ({ text, glob: new Bun.Glob(text) }))
  return (tag) => globs.find(({ glob }) => glob.match(tag))?.text
}
