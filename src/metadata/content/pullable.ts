import type { RepositoryPattern } from '../accounts/repository-pattern.ts'

declare const brand: unique symbol

/** A set of repositories that a caller may do something with. Only this folder looks inside. */
export type Pullable = { readonly [brand]: 'repositories' }

/** What it is: a repository is in the set when it matches a pattern of each of these lists. */
export type PatternLists = readonly (readonly RepositoryPattern[])[]

/** Makes the set of the repositories that match at least one pattern of each list. */
export function repositoriesOf(lists: PatternLists): Pullable {
  return lists as unknown as Pullable
}

/** Returns what the set is made of. */
export function patternListsOf(pullable: Pullable): PatternLists {
  return pullable as unknown as PatternLists
}

/** Every repository. */
export const EVERYTHING: Pullable = repositoriesOf([])
