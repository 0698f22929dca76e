import { and, asc, eq, gt, isNull, type Placeholder, type SQL, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes } from '../../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { manifest, repository, tag } from '../../schema/schema.ts'
import { number, statement, text } from '../../statement.ts'
import { isTagAt } from '../tags/listed-tag.ts'

/** The manifest behind Docker V1 images. `storedAs` is its digest in the database. */
export interface V1ManifestRow {
  id: number
  repositoryId: number
  storedAs: Buffer
}

export interface V1TagRow extends V1ManifestRow {
  tag: Tag
}

/** Reads for Docker's V1 API, whose image ids name rows of manifests. */
export function v1ImageReads(db: Db) {
  const columns = { id: manifest.id, repositoryId: manifest.repositoryId, storedAs: manifest.digest }
  const tags = ({ name, now }: { name: Placeholder; now: Placeholder }, more: SQL) =>
    db
      .select({ ...columns, tag: tag.name })
      .from(repository)
      .innerJoin(tag, eq(tag.repositoryId, repository.id))
      .innerJoin(manifest, eq(manifest.id, tag.manifestId))
      .where(
        and(
          eq(repository.name, name),
          isNull(repository.deletedAt),
          isNull(manifest.deletedAt),
          isTagAt(sql`${now}`),
          more,
        ),
      )
  const page = statement(db, { name: text, now: number, last: text, limit: number }, (wanted) =>
    tags(wanted, gt(tag.name, wanted.last)).orderBy(asc(tag.name)).limit(wanted.limit),
  )
  const one = statement(db, { name: text, now: number, tag: text }, (wanted) =>
    tags(wanted, eq(tag.name, wanted.tag)),
  )
  const byId = statement(db, { id: number }, ({ id }) =>
    db
      .select({ ...columns, name: repository.name })
      .from(manifest)
      .innerJoin(repository, eq(repository.id, manifest.repositoryId))
      .where(and(eq(manifest.id, id), isNull(manifest.deletedAt), isNull(repository.deletedAt))),
  )
  return {
    /**
     * Returns at most `limit` tags after `last`, in byte order; `now` is milliseconds since 1970, because tags
     * expire.
     */
    tags: (name: RepositoryName, last: string, limit: number, now: number): V1TagRow[] =>
      page.all({ name, last, limit, now }).map((row) => ({ ...row, tag: row.tag as Tag })),

    findTag: (name: RepositoryName, wanted: Tag, now: number): V1ManifestRow | undefined =>
      one.get({ name, tag: wanted, now }),

    /** Returns the manifest of a row, with the name of its repository. */
    find(id: number): (V1ManifestRow & { repository: RepositoryName; digest: Digest }) | undefined {
      const row = byId.get({ id })
      if (row === undefined) return undefined
      const { name, ...found } = row
      return { ...found, repository: name as RepositoryName, digest: digestFromBytes(row.storedAs) }
    },
  }
}
