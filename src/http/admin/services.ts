import type { Config } from '../../config/config-schema.ts'
import type { ContentServices } from '../../core/content/services.ts'
import type { Jobs } from '../../core/jobs/jobs.ts'
import type { ManifestPulls } from '../../core/pulls/manifest-pulls.ts'
import type { V1Images } from '../../core/pulls/v1-images.ts'
import type { Upstreams } from '../../domain/address.ts'
import type { Registry } from '../../domain/registry.ts'

/** The services that the surfaces are made from. One bag for a data folder. */
export interface Content extends ContentServices {
  registry: Registry
  /** The upstreams that repositories are cached of. */
  upstreams: Upstreams
  /** Its manifests, as clients can read them. */
  pulls: ManifestPulls
  /** Its images for Docker's V1 API; undefined where that is switched off. */
  v1Images: V1Images | undefined
  jobs: Jobs
  config: Config
  /** Milliseconds since 1970. */
  startedAt: number
  /** What keeps the server from serving, if anything. */
  problem: () => string | undefined
}
