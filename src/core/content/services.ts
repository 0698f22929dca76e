import type { Blobs, Registry } from '../../domain/registry.ts'
import type { GarbageWindow } from '../../domain/retention/garbage-window.ts'
import type { FileReader } from '../../files/file-reader.ts'
import type { Collector } from '../../gc/collector.ts'
import type { Metadata } from '../../metadata/metadata.ts'
import type { ProxyCache } from '../../proxy/proxy-cache.ts'
import type { UploadsInProgress } from '../../storage/blob-store.ts'
import type { ContentReader } from '../content-reader.ts'
import { FileIndexes } from '../files/file-indexes.ts'
import { fileService } from '../files/files.ts'
import type { Jobs } from '../jobs/jobs.ts'
import type { Damaged } from '../registry/damaged.ts'
import type { LargePushes } from '../registry/large-pushes.ts'
import { blobService } from './blobs.ts'
import { cacheService } from './cache/cache.ts'
import { onlyLocal } from './cache/only-local.ts'
import { pinService } from './cache/pins.ts'
import { type UpstreamOptions, upstreamService } from './cache/upstreams.ts'
import { Changes } from './changes.ts'
import { damageService } from './damage.ts'
import type { Descriptions } from './description.ts'
import { digestService } from './digests.ts'
import { GarbageService } from './garbage.ts'
import { historyService } from './history.ts'
import { manifestService } from './manifests.ts'
import { pullService } from './pulls.ts'
import { purgeService } from './purges.ts'
import { repositoryService } from './repositories.ts'
import { searchService } from './search.ts'
import { type StorageTotals, storageService } from './storage.ts'
import { tagService } from './tags.ts'
import { uploadService } from './uploads.ts'

export interface ContentOptions extends UpstreamOptions {
  metadata: Metadata
  registry: Registry
  /** The stored blobs. Descriptions read only these, so they never fetch from an upstream. */
  storedBlobs: Blobs
  reader: ContentReader
  descriptions: Descriptions
  largePushes: LargePushes
  damaged: Damaged
  uploads: UploadsInProgress
  collector: Collector
  garbageWindow: GarbageWindow
  disk: () => Promise<StorageTotals['disk']>
  cache: ProxyCache
  fileReader: FileReader
  jobs: Jobs
  /** Counts pulls in memory until they are flushed. */
  usage: { flush(): Promise<void> }
  /** Milliseconds since 1970. */
  now: () => number
}

/** The services for the content of a data folder, one per noun. The admin API uses these and the registry only. */
export type ContentServices = ReturnType<typeof contentServices>

export function contentServices(options: ContentOptions) {
  const { metadata, uploads, cache, disk, garbageWindow, collector, jobs, now } = options
  const shared = {
    ...options,
    requireLocal: onlyLocal(cache.upstreams),
  }
  const garbage = new GarbageService(metadata, garbageWindow, collector)
  return {
    repositories: repositoryService(shared),
    tags: tagService(shared),
    manifests: manifestService(shared),
    blobs: blobService(metadata),
    damage: damageService(metadata, options.damaged),
    digests: digestService(metadata),
    search: searchService(shared),
    files: fileService({
      ...shared,
      indexes: new FileIndexes({ reader: options.fileReader, jobs: options.jobs }),
    }),
    uploads: uploadService(metadata, uploads),
    cache: cacheService(cache, metadata, now),
    pins: pinService(metadata),
    pullCounts: pullService(metadata, now, options.usage),
    upstreamStates: upstreamService(options),
    storage: storageService(metadata, uploads, disk),
    history: historyService(metadata),
    jobs,
    changes: new Changes({ outbox: metadata.outbox, jobs: () => jobs.list() }),
    garbage,
    purges: purgeService({ ...shared, garbage }),
  }
}
