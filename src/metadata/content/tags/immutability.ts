import { eq } from 'drizzle-orm'
import { tagMatcher } from '../../../domain/retention/tag-pattern.ts'
import { digestFromBytes } from '../../../oci/digest.ts'
import { registryError } from '../../../oci/error.ts'
import type { Tag } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { repository } from '../../schema/schema.ts'
import { number, statement } from '../../statement.ts'

/** Returns the rule by which a tag is immutable, in words; undefined if it is not. */
type FindRule = (name: Tag) => string | undefined

export type Immutability = ReturnType<typeof immutability>

/** The rules of immutable tags, which can be neither moved nor deleted. */
export function immutability(db: Db) {
  const settings = statement(db, { id: number }, ({ id }) =>
    db
      .select({ all: repository.immutableTags, patterns: repository.immutablePatterns })
      .from(repository)
      .where(eq(repository.id, id)),
  )
  const rulesOf = (repositoryId: number): FindRule | undefined => {
    const { all = false, patterns = [] } = settings.get({ id: repositoryId }) ?? {}
    if (all) return () => 'all tags of this repository are immutable'
    if (patterns.length === 0) return undefined
    const find = tagMatcher(patterns)
    return (name) => {
      const pattern = find(name)
      return pattern && `tags that match "${pattern}" are immutable in this repository`
    }
  }
  return {
    /** Returns the rules of a repository; undefined if none of its tags is immutable. */
    rulesOf,

    isImmutable: (repositoryId: number, name: Tag): boolean => rulesOf(repositoryId)?.(name) !== undefined,

    /** Throws DENIED (409) if the tag, which is at this digest, is immutable. */
    refuseImmutable(repositoryId: number, name: Tag, { digest }: { digest: Buffer }): void {
      const rule = rulesOf(repositoryId)?.(name)
      if (rule === undefined) return
      throw registryError(
        'DENIED',
        `${rule}, and "${name}" is at ${digestFromBytes(digest)}: use another tag, or first make the tag mutable ` +
          'with cay repo set',
        { status: 409 },
      )
    },
  }
}
