import { and, eq, isNull } from 'drizzle-orm'
import { type Digest, digestFromBytes, digestToBytes } from '../../../oci/digest.ts'
import type { RepositoryName, Tag } from '../../../oci/reference.ts'
import type { Db } from '../../database.ts'
import { putInto } from '../../rows.ts'
import { convertedManifest, manifest, repository } from '../../schema/schema.ts'
import { bytes, statement, text } from '../../statement.ts'
import type { LinkBlob, LinkedBlob } from '../blobs/blob-links.ts'
import type { RepositoryReads } from '../repositories/repositories.ts'
import type { ReferenceRows } from './manifest-references.ts'
import type { FindManifest } from './manifest-rows.ts'

/** The source of a conversion: the manifest of the repository, and the tag that the conversion contains. */
export interface ConversionSource {
  manifest: Digest
  tag: Tag
}

export interface ConversionPut extends ConversionSource {
  at: number
  repository: RepositoryName
  /** The conversion's own digest. */
  digest: Digest
  /** A layer of the conversion that the image does not have. */
  layer: LinkedBlob | undefined
}

/** Reads of conversions. */
export function conversionReads(db: Db) {
  const byDigest = statement(db, { name: text, digest: bytes }, ({ name, digest }) =>
    db
      .select({ manifest: manifest.digest, tag: convertedManifest.tag })
      .from(repository)
      .innerJoin(convertedManifest, eq(convertedManifest.repositoryId, repository.id))
      .innerJoin(manifest, eq(manifest.id, convertedManifest.manifestId))
      .where(
        and(
          eq(repository.name, name),
          isNull(repository.deletedAt),
          isNull(manifest.deletedAt),
          eq(convertedManifest.digest, digest),
        ),
      ),
  )
  return {
    /** Returns the source of the conversion with this digest, while the source exists. */
    find(name: RepositoryName, digest: Digest): ConversionSource | undefined {
      const row = byDigest.get({ name, digest: digestToBytes(digest) })
      return row && { manifest: digestFromBytes(row.manifest), tag: row.tag as Tag }
    },
  }
}

/** Writes of conversions, each for one call of the writer. */
export function conversionWrites(
  db: Db,
  {
    find,
    findManifest,
    link,
    references,
  }: { find: RepositoryReads['find']; findManifest: FindManifest; link: LinkBlob; references: ReferenceRows },
) {
  const put = putInto(db, convertedManifest)
  return {
    /**
     * Records a conversion, so that it can be pulled by its digest; of several sources, the last one is kept. Its
     * layer counts as a layer of the source manifest, and stays as long as that. Does nothing when the manifest no
     * longer exists.
     */
    putConversion(call: ConversionPut): void {
      const repositoryId = find(call.repository)
      if (repositoryId === undefined) return
      const source = findManifest(repositoryId, digestToBytes(call.manifest))
      if (source === undefined || source.deletedAt !== null) return
      const { layer } = call
      if (layer !== undefined) {
        link(repositoryId, layer, call.at)
        references.insert(repositoryId, source.id, [{ digest: layer.digest, role: 'layer' }])
        references.markUsed(repositoryId, source.id)
      }
      const digest = digestToBytes(call.digest)
      put.run({ repositoryId, digest, manifestId: source.id, tag: call.tag })
    },
  }
}
