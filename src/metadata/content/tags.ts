import { and, asc, desc, eq, gt, isNull, or, type SQL, sql } from 'drizzle-orm'
import { type Digest, digestFromBytes } from '../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../oci/reference.ts'
import type { Db } from '../database.ts'
import { manifest, repository, tag } from '../schema.ts'
import { number, statement, text } from '../statement.ts'
import type { RepositoryReads } from './repositories.ts'
import { containing } from './text-search.ts'

/** A tag with what it points at. */
export interface TagRow {
  name: Tag
  digest: Digest
  /** The digest that the manifest's bytes are stored under: a tag may name them by another one. */
  storedAs: Digest
  mediaType: string
  artifactType: string | null
  /** Bytes of the manifest. */
  size: number
  /** Times are milliseconds since 1970. */
  pushedAt: number
  updatedAt: number
  expiresAt: number | null
  pulls: number
  lastPulledAt: number | null
  version: number
}

/** Which tags are listed, and in which order. */
export interface TagQuery {
  /** A part of the name, in any case. */
  q?: string | undefined
  sort: 'name' | 'updated'
  order: 'asc' | 'desc'
  /** The entry before the page; its `updatedAt` counts only where tags are sorted by it. */
  after?: Pick<TagRow, 'name' | 'updatedAt'> | undefined
}

/** A tag whose end has come is none. */
export const isTagAt = (now: SQL | number): SQL | undefined =>
  or(isNull(tag.expiresAt), gt(tag.expiresAt, now))

/** Reads of tags. `now` is milliseconds since 1970: a tag whose end has come is not among them. */
export function tagReads(db: Db, { find }: Pick<RepositoryReads, 'find'>) {
  const { page, byName, ofManifest } = statements(db)
  return {
    /** At most `limit` tags after `last`, in byte order; undefined when there is no such repository. */
    list(name: RepositoryName, last: string, limit: number, now: number): Tag[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      return page.all({ repositoryId, last, limit, now }).map((row) => row.name as Tag)
    },

    /** One tag with what it points at. */
    find(repository: RepositoryName, name: Tag, now: number): TagRow | undefined {
      const row = byName.get({ repository, name, now })
      return row && toTag(row)
    },

    /** At most `limit` tags that match; undefined when there is no such repository. */
    search(name: RepositoryName, query: TagQuery, limit: number, now: number): TagRow[] | undefined {
      const repositoryId = find(name)
      if (repositoryId === undefined) return undefined
      const { q = '', after } = query
      const direction = query.order === 'asc' ? asc : desc
      const than = query.order === 'asc' ? sql`>` : sql`<`
      const key = query.sort === 'name' ? [tag.name] : [tag.updatedAt, tag.name]
      const end = after && (query.sort === 'name' ? [after.name] : [after.updatedAt, after.name])
      const isAfter = end && sql`(${sql.join(key, sql`, `)}) ${than} (${sql.join(end.map(bound), sql`, `)})`
      return selectTags(db)
        .where(
          and(
            eq(tag.repositoryId, repositoryId),
            isAfter,
            q === '' ? undefined : containing(tag.name, q),
            isTagAt(now),
          ),
        )
        .orderBy(...key.map((column) => direction(column)))
        .limit(limit)
        .all()
        .map(toTag)
    },

    /** At most `limit` tags after `last` that point at a manifest. */
    ofManifest: (manifestId: number, last: string, limit: number, now: number): Tag[] =>
      ofManifest.all({ manifestId, last, limit, now }).map((row) => row.name as Tag),
  }
}

function statements(db: Db) {
  const after = { last: text, limit: number, now: number }
  const page = statement(db, { repositoryId: number, ...after }, ({ repositoryId, last, limit, now }) =>
    db
      .select({ name: tag.name })
      .from(tag)
      .where(and(eq(tag.repositoryId, repositoryId), gt(tag.name, last), isTagAt(sql`${now}`)))
      .orderBy(asc(tag.name))
      .limit(limit),
  )
  const byName = statement(db, { repository: text, name: text, now: number }, (wanted) =>
    selectTags(db)
      .innerJoin(repository, eq(repository.id, tag.repositoryId))
      .where(
        and(
          eq(repository.name, wanted.repository),
          isNull(repository.deletedAt),
          eq(tag.name, wanted.name),
          isTagAt(sql`${wanted.now}`),
        ),
      ),
  )
  const ofManifest = statement(db, { manifestId: number, ...after }, ({ manifestId, last, limit, now }) =>
    db
      .select({ name: tag.name })
      .from(tag)
      .where(and(eq(tag.manifestId, manifestId), gt(tag.name, last), isTagAt(sql`${now}`)))
      .orderBy(asc(tag.name))
      .limit(limit),
  )
  return { page, byName, ofManifest }
}

const bound = (value: string | number): SQL => sql`${value}`

function selectTags(db: Db) {
  return db
    .select({
      name: tag.name,
      digest: tag.digest,
      storedAs: manifest.digest,
      mediaType: manifest.mediaType,
      artifactType: manifest.artifactType,
      size: manifest.size,
      pushedAt: manifest.pushedAt,
      updatedAt: tag.updatedAt,
      expiresAt: tag.expiresAt,
      pulls: tag.pulls,
      lastPulledAt: tag.lastPulledAt,
      version: tag.version,
    })
    .from(tag)
    .innerJoin(manifest, eq(manifest.id, tag.manifestId))
}

type StoredTag = Omit<TagRow, 'name' | 'digest' | 'storedAs'> & {
  name: string
  digest: Buffer
  storedAs: Buffer
}

function toTag(row: StoredTag): TagRow {
  const digest = digestFromBytes(row.digest)
  const storedAs = row.storedAs.equals(row.digest) ? digest : digestFromBytes(row.storedAs)
  return { ...row, name: row.name as Tag, digest, storedAs }
}
