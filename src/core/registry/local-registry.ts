import type { Listing, Page, Registry, Uploads } from '../../domain/registry.ts'
import type { Releasing } from '../../idle-memory.ts'
import { unknownRepository } from '../unknown.ts'
import { type LabelIndex, labelIndex } from './label-index.ts'
import { configReader, labelReader } from './labels.ts'
import { localBlobs } from './local-blobs.ts'
import { localManifests } from './local-manifests.ts'
import type { LocalOptions } from './local-options.ts'
import { localReferrers } from './local-referrers.ts'
import { localUploads } from './local-uploads.ts'
import { ReadCache } from './read-cache.ts'
import { SmallBlobs } from './small-blobs.ts'
import { Usage } from './usage.ts'

export type LocalRegistry = Registry & Releasing & { uploads: Uploads; usage: Usage; labels: LabelIndex }

/** A registry whose content is in this data folder. */
export function localRegistry(options: LocalOptions): LocalRegistry {
  const { metadata, access, reader } = options
  const cache = new ReadCache(options.cacheBytesMax)
  metadata.onStale('content', () => cache.clear())
  const small = new SmallBlobs(metadata, options.blobs)
  const blobs = localBlobs(options, cache, small)
  const readLabels = labelReader(metadata, configReader(blobs, small))
  return {
    releaseMemory() {
      cache.clear()
      small.releaseMemory()
    },
    usage: new Usage(metadata, options.now),
    labels: labelIndex({ metadata, reader, readLabels }),
    manifests: localManifests(options, cache, readLabels),
    blobs,
    uploads: localUploads(options, small),
    referrers: localReferrers(options),
    tags: {
      async list(repository, page) {
        return await listing(page, async (limit) => {
          const found = await metadata.tags.list(repository, page.last, limit, options.now())
          if (found === undefined) throw unknownRepository(repository)
          return found
        })
      },
    },
    repositories: {
      async list(identity, page) {
        const found = metadata.repositories.list(access.pullable(identity), page.last, page.limit)
        return { items: found.rows.map(({ name }) => name), more: found.next !== undefined, next: found.next }
      },
    },
  }
}

/** Reads one more entry than the page has, to know whether there are more. */
async function listing<T>({ limit }: Page, read: (limit: number) => Promise<T[]>): Promise<Listing<T>> {
  const items = await read(limit + 1)
  return { items: items.slice(0, limit), more: limit > 0 && items.length > limit }
}
