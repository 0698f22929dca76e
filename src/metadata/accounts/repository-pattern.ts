import { type SQL, sql } from 'drizzle-orm'
import { registryError } from '../../oci/error.ts'
import type { RepositoryName } from '../../oci/reference.ts'
import { repository } from '../schema.ts'

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

/**
 * The same question as matchesPattern for any of the patterns, as a condition on the table `repository`. It is asked of
 * every row of a list, so what most names fail at comes first.
 */
export function patternsCondition(patterns: RepositoryPattern[]): SQL {
  const named = patterns.filter(({ before }) => before[0] !== undefined)
  const conditions = patterns.filter(({ before }) => before[0] === undefined).map(patternCondition)
  if (named.length > 0) {
    const first = sql`substr(${repository.name}, 1, instr(${repository.name} || '/', '/') - 1)`
    const names = [...new Set(named.map(({ before }) => before[0]))].map((name) => sql`${name}`)
    const isNamed = sql`${first} in (${sql.join(names, sql`, `)})`
    conditions.push(sql`(${isNamed} and ${anyOf(named.map(patternCondition))})`)
  }
  return anyOf(conditions)
}

/** In halves, for SQLite takes expressions of a depth of 1000 only. */
function anyOf(conditions: SQL[]): SQL {
  const [first = sql`0`] = conditions
  if (conditions.length < 2) return first
  const half = conditions.length >> 1
  return sql`(${anyOf(conditions.slice(0, half))} or ${anyOf(conditions.slice(half))})`
}

function patternCondition({ before, after }: RepositoryPattern): SQL {
  const { name } = repository
  const star = before.indexOf(undefined)
  const start = before.slice(0, star < 0 ? before.length : star).join('/')
  if (after === undefined && star < 0) return sql`${name} = ${start}`
  const conditions: SQL[] = []
  // What begins with `a/` lies between `a/` and `a0`, for `0` is the character after `/`.
  if (start !== '') conditions.push(sql`${name} > ${`${start}/`} and ${name} < ${`${start}0`}`)
  const slashes = sql`(length(${name}) - length(replace(${name}, '/', '')))`
  const fixed = before.length + (after?.length ?? 0)
  if (after === undefined) conditions.push(sql`${slashes} = ${fixed - 1}`)
  else if (star >= 0 || after.length > 0) conditions.push(sql`${slashes} >= ${fixed}`)
  // A name has no character that JSON would escape.
  const components = sql`('["' || replace(${name}, '/', '","') || '"]')`
  const fix = (one: string | undefined, path: string) => {
    if (one !== undefined) conditions.push(sql`json_extract(${components}, ${path}) = ${one}`)
  }
  if (star >= 0) for (const [at, one] of before.entries()) if (at > star) fix(one, `$[${at}]`)
  for (const [at, one] of (after ?? []).entries()) fix(one, `$[#-${(after ?? []).length - at}]`)
  return conditions.length === 0 ? sql`1` : sql`(${sql.join(conditions, sql` and `)})`
}
