import { sql } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../../../oci/digest.ts'
import type { RepositoryName } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { manifestLabel } from '../../schema/label-schema.ts'
import { bytes, number, statement, text } from '../../statement.ts'
import type { ReadTotal, WriteTotal } from '../totals.ts'
import type { FindManifest } from './manifest-rows.ts'

export type LabelRows = ReturnType<typeof labelRows>

/** The labels of manifests that a search finds. They are deleted with the row of the manifest. */
export function labelRows(db: Db) {
  const insert = statement(
    db,
    { repositoryId: number, id: number, labels: text },
    ({ repositoryId, id, labels }) =>
      sql`insert or ignore into ${manifestLabel} (repository_id, label, manifest_id)
        select ${repositoryId}, value, ${id} from json_each(${labels})`,
  )
  return {
    /** Adds labels to a manifest. Without any, which is common, it runs no statement. */
    put(repositoryId: number, id: number, labels: readonly string[] = []): void {
      if (labels.length > 0) insert.run({ repositoryId, id, labels: JSON.stringify(labels) })
    },
  }
}

/** A stored manifest whose labels are to be read. */
export interface UnlabelledManifest {
  id: number
  repositoryId: number
  repository: RepositoryName
  digest: Digest
  mediaType: string
}

/** The labels of a manifest that was stored earlier. */
export interface ReadLabels extends Pick<UnlabelledManifest, 'repositoryId' | 'digest'> {
  labels: readonly string[]
}

interface Parts {
  findManifest: FindManifest
  labels: LabelRows
  write: WriteTotal
}

/** Writes of the labels of manifests that were stored without them. */
export function labelWrites({ findManifest, labels, write }: Parts) {
  return {
    /**
     * Adds labels to manifests that still exist.
     *
     * @param unread the highest id of a manifest from before there were labels that has not been read; undefined to
     *   leave it
     */
    addLabels({ read, unread }: { read: readonly ReadLabels[]; unread?: number | undefined }): void {
      for (const { repositoryId, digest, labels: found } of read) {
        const row = findManifest(repositoryId, digestToBytes(digest))
        if (row) labels.put(repositoryId, row.id, found)
      }
      if (unread !== undefined) write('labels.unread', unread)
    },
  }
}

/** Reads of the manifests whose labels are to be read. */
export function labelReads(db: Db, total: ReadTotal) {
  const columns = sql`m.id, m.repository_id as "repositoryId", r.name as repository, m.digest,
    m.media_type as "mediaType"`
  const upTo = statement(
    db,
    { id: number, limit: number },
    ({ id, limit }) => sql<StoredManifest>`select ${columns}
      from manifest m join repository r on r.id = m.repository_id
      where m.id <= ${id} order by m.id desc limit ${limit}`,
  )
  const configured = statement(
    db,
    { name: text, digest: bytes, limit: number },
    ({ name, digest, limit }) => sql<StoredManifest>`select ${columns}
      from repository r
      join manifest_reference f on f.digest = ${digest} and f.repository_id = r.id and f.role = 'config'
      join manifest m on m.id = f.manifest_id
      where r.name = ${name} and r.deleted_at is null limit ${limit}`,
  )
  return {
    /** Returns manifests from before there were labels that have not been read, the newest first. */
    unread(limit: number): UnlabelledManifest[] {
      const id = total('labels.unread')
      return id === 0 ? [] : upTo.all({ id, limit }).map(toManifest)
    },

    /** Returns manifests of a repository that have this config. */
    withConfig: (name: RepositoryName, digest: Digest, limit: number): UnlabelledManifest[] =>
      configured.all({ name, digest: digestToBytes(digest), limit }).map(toManifest),
  }
}

type StoredManifest = Omit<UnlabelledManifest, 'digest'> & { digest: Uint8Array }

function toManifest(row: StoredManifest): UnlabelledManifest {
  return { ...row, digest: digestFromBytes(row.digest) }
}
