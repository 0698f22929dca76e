import type { Asker } from '../../domain/asker.ts'
import type { BlobUse } from '../../metadata/content/blob-uses.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { Digest } from '../../oci/digest.ts'
import { registryError } from '../../oci/error.ts'
import {
  formatCursor,
  type ListPage,
  PAGE_DEFAULT,
  type PageQuery,
  pageOfPart,
  parseCursor,
} from '../page.ts'

/** A blob and a page of the repositories that link it. */
export interface DescribedBlob {
  digest: Digest
  /** Bytes. */
  size: number
  /** Milliseconds since 1970. It may have come by a repository that the asker cannot see: for server admins only. */
  storedAt: number | undefined
  uses: ListPage<BlobUse>
}

export type { BlobUse }

/** What is known of blobs, whichever repository links them. */
export function blobService(metadata: Metadata) {
  return {
    /** Describes a blob that a repository links which the asker may pull from. Throws BLOB_UNKNOWN. */
    async describe(asker: Asker, digest: Digest, query: PageQuery): Promise<DescribedBlob> {
      const [last = 0] = parseCursor(query.last, 0)
      const visible = asker.pullable()
      // Whoever sees none of its repositories does not hear that it is here, also not by the time that this takes.
      const source = metadata.blobs.findSource(digest, visible)
      const blob = await metadata.blobUses.find(digest)
      if (blob === undefined || source === undefined) {
        throw registryError('BLOB_UNKNOWN', `no repository that you may pull from has a blob ${digest}`)
      }
      const uses = await pageOfPart(
        await metadata.blobUses.list(blob.id, visible, last, query.limit ?? PAGE_DEFAULT),
        (rows) => rows,
        formatCursor,
      )
      return { digest, size: blob.size, storedAt: asker.isAdmin ? blob.storedAt : undefined, uses }
    },
  }
}
