import type { RepositoryName } from '../oci/reference.ts'

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
