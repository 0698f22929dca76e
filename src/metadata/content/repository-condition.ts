import { type SQL, sql } from 'drizzle-orm'
import type { RepositoryPattern } from '../../domain/repository-pattern.ts'
import type { RepositorySet } from '../../domain/repository-set.ts'
import { repository } from '../schema.ts'

/** The set as a condition on the table `repository`; undefined when every row meets it. */
export function isIn(pullable: RepositorySet): SQL | undefined {
  const lists = pullable.filter((patterns) => !patterns.some(({ text }) => text === '**'))
  return lists.length === 0 ? undefined : sql`(${sql.join(lists.map(patternsCondition), sql` and `)})`
}

/**
 * Matches any of the patterns, as a condition on the table `repository`. It is asked of
 * every row of a list, so what most names fail at comes first.
 */
function patternsCondition(patterns: readonly RepositoryPattern[]): SQL {
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
