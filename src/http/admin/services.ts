import type { SettingSources } from '../../config/config.ts'
import type { Config } from '../../config/config-schema.ts'
import type { ContentServices } from '../../core/content/services.ts'
import type { DiskReserve } from '../../core/disk-reserve.ts'
import type { ManifestPulls } from '../../core/pulls/manifest-pulls.ts'
import type { V1Images } from '../../core/pulls/v1-images.ts'
import type { Quotas } from '../../core/quota/quotas.ts'
import type { Retention } from '../../core/retention/retention.ts'
import type { Upstreams } from '../../domain/address.ts'
import type { Registry } from '../../domain/registry.ts'

/** The services of one data folder that the HTTP APIs call. */
export interface ApiServices extends ContentServices {
  registry: Registry
  /** The upstreams to cache from. */
  upstreams: Upstreams
  /** Manifests in a format that the client can read. */
  pulls: ManifestPulls
  /** Images of Docker's V1 API; undefined if that is disabled. */
  v1Images: V1Images | undefined
  retention: Retention
  quotas: Quotas
  config: Config
  settingSources: SettingSources
  /** The addresses that it listens on, HOST:PORT, and those of its mirrors. */
  addresses: string[]
  mirrors: { upstream: string; address: string }[]
  /** Milliseconds since 1970. */
  startedAt: number
  /** The verification of stored content. */
  scrub: { readonly databaseFaults: number }
  /** Whether the disk has free space for pushes. */
  reserve: Pick<DiskReserve, 'problem' | 'falls' | 'check' | 'bytesMin'>
}
