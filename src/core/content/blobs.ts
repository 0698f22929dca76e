import type { Principal } from '../../domain/access/principal.ts'
import type { BlobUse } from '../../metadata/content/blobs/blob-uses.ts'
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
  /** Milliseconds since 1970. For server admins only: it may reveal a push to a repository the caller cannot see. */
  storedAt: number | undefined
  /** When its bytes were last verified, for server admins only. */
  verifiedAt: number | undefined
  uses: ListPage<BlobUse>
}

export type { BlobUse }

/** Describes blobs across repositories. */
export function blobService(metadata: Metadata) {
  return {
    /** Describes a blob in a repository that the caller may pull from. Throws BLOB_UNKNOWN. */
    async describe(principal: Principal, digest: Digest, query: PageQuery): Promise<DescribedBlob> {
      const [last = 0] = parseCursor(query.cursor, 0)
      const visible = principal.pullable()
      // A caller who sees none of its repositories must not learn that the blob exists, not even by timing.
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
      const { size, storedAt, verifiedAt } = blob
      const times = principal.isAdmin
        ? { storedAt, verifiedAt }
        : { storedAt: undefined, verifiedAt: undefined }
      return { digest, size, ...times, uses }
    },
  }
}
