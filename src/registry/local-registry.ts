import type { Metadata } from '../metadata/metadata.ts'
import type { BlobStore, UploadStore } from '../storage/blob-store.ts'
import type { Access } from './access.ts'
import { localBlobs } from './local-blobs.ts'
import { localManifests } from './local-manifests.ts'
import { localReferrers } from './local-referrers.ts'
import { localUploads } from './local-uploads.ts'
import { ReadCache } from './read-cache.ts'
import type { Listing, Page, Registry, Uploads } from './registry.ts'
import { unknownRepository } from './unknown.ts'

export interface LocalOptions {
  metadata: Metadata
  blobs: BlobStore
  uploads: UploadStore
  access: Access
  /** Milliseconds since 1970. */
  now: () => number
  /** Which absent content a manifest may name. */
  sparse: Sparse
  /** Memory for manifests that are pulled again. */
  cacheBytesMax: number
}

/** `none`; `index`: children of an index; `all`: layers and configs too. */
export type Sparse = 'none' | 'index' | 'all'

/** A registry whose content is in this data folder. */
export function localRegistry(options: LocalOptions): Registry & { uploads: Uploads } {
  const { metadata, access } = options
  const cache = new ReadCache(options.cacheBytesMax)
  metadata.onStale('content', () => cache.clear())
  return {
    manifests: localManifests(options, cache),
    blobs: localBlobs(options, cache),
    uploads: localUploads(options),
    referrers: localReferrers(metadata),
    tags: {
      async list(repository, page) {
        return listing(page, (limit) => {
          const found = metadata.tags.list(repository, page.last, limit)
          if (found === undefined) throw unknownRepository(repository)
          return found
        })
      },
    },
    repositories: {
      async list(identity, page) {
        return listing(page, (limit) =>
          metadata.repositories.list(access.pullable(identity), page.last, limit),
        )
      },
    },
  }
}

/** One more than the page is read, to know whether the list goes on. */
function listing<T>({ limit }: Page, read: (limit: number) => T[]): Listing<T> {
  const items = read(limit + 1)
  return { items: items.slice(0, limit), more: limit > 0 && items.length > limit }
}
