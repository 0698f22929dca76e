import { type SQL, sql } from 'drizzle-orm'
import { registryError } from '../oci/error.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { repository } from './schema.ts'

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

/** The same question as matchesPattern, as a condition on the table `repository`. */
export function patternCondition({ before, after }: RepositoryPattern): SQL {
  // A name has no character that JSON would escape.
  const components = sql`('["' || replace(${repository.name}, '/', '","') || '"]')`
  const length = sql`json_array_length(${components})`
  const fixed = before.length + (after?.length ?? 0)
  const conditions = [after === undefined ? sql`${length} = ${fixed}` : sql`${length} > ${fixed}`]
  const fix = (one: string | undefined, path: string) => {
    if (one !== undefined) conditions.push(sql`json_extract(${components}, ${path}) = ${one}`)
  }
  for (const [at, one] of before.entries()) fix(one, `$[${at}]`)
  for (const [at, one] of (after ?? []).entries()) fix(one, `$[#-${(after ?? []).length - at}]`)
  return sql`(${sql.join(conditions, sql` and `)})`
}
