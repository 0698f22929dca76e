import { and, asc, eq, gt, isNull, type Placeholder, type SQL, sql } from 'drizzle-orm'
import type { Db } from '../database/database.ts'
import { manifest, repository, tag } from '../database/schema.ts'
import { number, statement, text } from '../database/statement.ts'
import type { V1Manifest } from '../docker/v1.ts'
import { digestFromBytes, type RepositoryName, type Tag } from '../oci/reference.ts'
import { isTagAt } from '../registry/store.ts'

declare module '../database/metadata.ts' {
  interface Reads {
    v1Images: ReturnType<typeof v1ImageReads>
  }
}

/** Reads for Docker's V1 API, whose image ids name rows of manifests. */
export function v1ImageReads(db: Db) {
  const columns = { id: manifest.id, repositoryId: manifest.repositoryId, digest: manifest.digest }
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
    tags: (name: RepositoryName, last: string, limit: number, now: number): (V1Manifest & { tag: Tag })[] =>
      page.all({ name, last, limit, now }).map((row) => ({ ...toManifest(row), tag: row.tag as Tag })),

    findTag(name: RepositoryName, wanted: Tag, now: number): V1Manifest | undefined {
      const row = one.get({ name, tag: wanted, now })
      return row && toManifest(row)
    },

    /** Returns the manifest of a row, with the name of its repository. */
    find(id: number): (V1Manifest & { repository: RepositoryName }) | undefined {
      const row = byId.get({ id })
      return row && { ...toManifest(row), repository: row.name as RepositoryName }
    },
  }
}

type StoredManifest = Omit<V1Manifest, 'digest'> & { digest: Buffer }

function toManifest({ id, repositoryId, digest }: StoredManifest): V1Manifest {
  return { id, repositoryId, digest: digestFromBytes(digest) }
}
