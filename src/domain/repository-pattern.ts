import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'

/** A set of repositories: `*` is one component of a name, `**` (at most once) any number of them, at least one. */
export interface RepositoryPattern {
  text: string
  /** The components before `**`, or all of them; undefined is `*`. */
  before: (string | undefined)[]
  /** The components after `**`; undefined when there is no `**`. */
  after: (string | undefined)[] | undefined
}

const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/
const CHARACTERS_MAX = 255

/** Parses a pattern; throws NAME_INVALID. */
export function parseRepositoryPattern(text: string): RepositoryPattern {
  const components = text.split('/')
  const gap = components.indexOf('**')
  const isOk = components.every(
    (one, at) => one === '*' || (one === '**' && at === gap) || COMPONENT.test(one),
  )
  if (text.length > CHARACTERS_MAX || !isOk) {
    throw registryError(
      'NAME_INVALID',
      `${JSON.stringify(text.slice(0, CHARACTERS_MAX))} is not a repository pattern: components of a name, "*" for any ` +
        'one, and at most one "**" for any number of them',
    )
  }
  const parts = components.map((one) => (one === '*' ? undefined : one))
  if (gap < 0) return { text, before: parts, after: undefined }
  return { text, before: parts.slice(0, gap), after: parts.slice(gap + 1) }
}

/** Whether the pattern has this repository. */
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
