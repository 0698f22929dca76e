import { eq } from 'drizzle-orm'
import { digestFromBytes } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import type { Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { repository } from '../schema.ts'
import { number, statement } from '../statement.ts'

export type Immutability = ReturnType<typeof immutability>

/** Which tags can neither be moved nor deleted. */
export function immutability(db: Db) {
  const settings = statement(db, { id: number }, ({ id }) =>
    db.select({ immutableTags: repository.immutableTags }).from(repository).where(eq(repository.id, id)),
  )
  const isImmutable = (repositoryId: number) => settings.get({ id: repositoryId })?.immutableTags === true
  return {
    isImmutable,

    /** Throws DENIED (409) if the tag, which is at this digest, is immutable. */
    refuseImmutable(repositoryId: number, name: Tag, { digest }: { digest: Buffer }): void {
      if (!isImmutable(repositoryId)) return
      throw registryError(
        'DENIED',
        `the tags of this repository are immutable, and "${name}" is at ${digestFromBytes(digest)}: ` +
          'take another tag, or let the repository have mutable tags first',
        { status: 409 },
      )
    },
  }
}
