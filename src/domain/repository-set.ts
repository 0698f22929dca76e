import type { RepositoryPattern } from './repository-pattern.ts'

/** A set of repositories: those whose name matches at least one pattern of each list. */
export type RepositorySet = readonly (readonly RepositoryPattern[])[]

/** Every repository. */
export const EVERYTHING: RepositorySet = []
