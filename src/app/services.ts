import { onlyLocal, type ProxyCache } from '../cache/cache.ts'
import { cacheService, pinService } from '../cache/service.ts'
import { type UpstreamOptions, upstreamService } from '../cache/upstreams.ts'
import type { Descriptions } from '../content/content.ts'
import { blobService, digestService, manifestService } from '../content/manifests.ts'
import {
  pullService,
  repositoryService,
  type StorageTotals,
  storageService,
  uploadService,
} from '../content/repositories.ts'
import { searchService } from '../content/search.ts'
import { tagService } from '../content/tags.ts'
import type { Metadata } from '../database/metadata.ts'
import { FileIndexes, fileService } from '../files/files.ts'
import type { FileReader } from '../files/reader.ts'
import { type Collector, purgeService } from '../garbage/garbage.ts'
import { Changes, historyService } from '../history/history.ts'
import { damageService } from '../integrity/integrity.ts'
import type { Jobs } from '../jobs/jobs.ts'
import type { ContentReader } from '../registry/content-reader.ts'
import type { Damaged } from '../registry/local-blobs.ts'
import type { LargePushes } from '../registry/local-manifests.ts'
import type { Blobs, Registry } from '../registry/registry.ts'
import type { GarbageWindow } from '../registry/store.ts'
import type { UploadsInProgress } from '../storage/blob-store.ts'

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

/** Builds the services for the content of a data folder, one per noun. */
export function contentServices(options: ContentOptions) {
  const { metadata, uploads, cache, disk, collector, jobs, now } = options
  const shared = {
    ...options,
    requireLocal: onlyLocal(cache.upstreams),
  }
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
    garbage: collector,
    purges: purgeService(shared),
  }
}
