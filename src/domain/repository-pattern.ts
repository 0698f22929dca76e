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
