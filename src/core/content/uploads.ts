import type { Write } from '../../domain/access/caller.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import { registryError } from '../../oci/error.ts'
import type { UploadProgress, UploadsInProgress } from '../../storage/blob-store.ts'
import { type ListPage, type PageQuery, readPage } from '../page.ts'

export type { UploadProgress }

/** Lists and cancels the uploads in progress, for server admins. */
export function uploadService(metadata: Metadata, uploads: UploadsInProgress) {
  return {
    /** Lists the uploads that have bytes, oldest first. */
    list(query: PageQuery): Promise<ListPage<UploadProgress>> {
      const { cursor = '' } = query
      return readPage(
        query,
        (limit) => uploads.list(cursor, limit),
        ({ name }) => name,
      )
    },

    /** Cancels an upload once no request is using it. Throws NOT_FOUND. */
    async cancel(act: Write, id: string): Promise<void> {
      if (!(await uploads.drop(id))) throw registryError('NOT_FOUND', `there is no upload ${id}`)
      await metadata.write('noteAct', { ...act, action: 'upload.cancel', target: id })
    },
  }
}
