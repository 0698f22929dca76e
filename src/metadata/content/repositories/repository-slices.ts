import type { RepositorySet } from '../../../domain/repository-set.ts'
import { turn } from '../../../turn.ts'
import type { NamedRow } from './repositories.ts'

/** What one repository contributes at most, so that no repository hides the others. */
export const PER_REPOSITORY = 3

/** A search of each repository by itself. */
export interface SliceSearch<T> {
  /** How many repositories are searched before other requests get a turn. */
  slice: number
  slicesMax: number
  /** Returns repositories from a name on, and whether each has a result. */
  repositories(from: string, limit: number): (NamedRow & { isFound: number })[]
  /** Returns the results of a repository, at least PER_REPOSITORY + 1 if it has as many. */
  results(repository: NamedRow): T[]
}

/** Searches the repositories of a set, and gives other requests a turn in between. */
export async function searchSlices<T>(
  set: RepositorySet,
  limit: number,
  { slice, slicesMax, repositories, results }: SliceSearch<T>,
): Promise<{ rows: T[]; hasMore: boolean }> {
  const rows: T[] = []
  let hasMore = false
  let from = set.seek('')
  for (let slices = 0; slices < slicesMax && from !== undefined; slices++) {
    const part = repositories(from, slice)
    for (const { id, name, isFound } of part) {
      if (isFound === 0 || !set.has(name)) continue
      const found = results({ id, name })
      if (found.length > PER_REPOSITORY) hasMore = true
      rows.push(...found.slice(0, PER_REPOSITORY))
      if (rows.length > limit) return { rows: rows.slice(0, limit), hasMore: true }
    }
    const last = part.at(-1)
    from = last === undefined || part.length < slice ? undefined : set.seek(`${last.name}\0`)
    await turn()
  }
  return { rows, hasMore: hasMore || from !== undefined }
}
