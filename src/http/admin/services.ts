import type { Config } from '../../config/config-schema.ts'
import type { Descriptions } from '../../core/description.ts'
import type { Jobs } from '../../core/jobs.ts'
import type { ManifestPulls } from '../../core/manifest-pulls.ts'
import type { V1Images } from '../../core/v1-images.ts'
import type { Registry } from '../../domain/registry.ts'
import type { Retention } from '../../domain/retention.ts'
import type { Collector } from '../../gc/collector.ts'
import type { GarbageView } from '../../gc/garbage-view.ts'
import type { UploadsInProgress } from '../../storage/blob-store.ts'

/** What the controllers of content, and of the server itself, are made from. One for a data folder. */
export interface Content {
  registry: Registry
  /** Its manifests, as clients can read them. */
  pulls: ManifestPulls
  /** Its images for Docker's V1 API; undefined where that is switched off. */
  v1Images: V1Images | undefined
  descriptions: Descriptions
  uploads: UploadsInProgress
  jobs: Jobs
  /** The disk that the data folder is on. */
  disk: () => Promise<{ totalBytes: number; freeBytes: number }>
  config: Config
  collector: Collector
  garbage: GarbageView
  /** How long what was deleted can be brought back, among others. */
  retention: Retention
  /** Milliseconds since 1970. */
  startedAt: number
  /** What keeps the server from serving, if anything. */
  problem: () => string | undefined
}
