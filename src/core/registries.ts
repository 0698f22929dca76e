import type { Logger } from 'pino'
import type { Config } from '../config/config-schema.ts'
import { readUpstreams } from '../config/upstreams.ts'
import { localNamesTaken } from '../metadata/cache/upstreams.ts'
import type { RepositoryName } from '../oci/reference.ts'
import { AnswerMemory } from '../proxy/answer-memory.ts'
import { ProxyCache } from '../proxy/proxy-cache.ts'
import type { TimeLimits } from '../proxy/upstream/deadline.ts'
import { sharedRequestPlaces } from '../proxy/upstream/request-places.ts'
import { UpstreamSet } from '../proxy/upstream/upstream-set.ts'
import { diskSpaceNow } from '../storage/disk.ts'
import type { FillStore } from '../storage/uploads/fill-store.ts'
import type { CacheCounts } from '../telemetry/cache-counts.ts'
import { openStored } from './content/cache/managed-upstreams.ts'
import { allowedTypes } from './registry/allowed-types.ts'
import type { LocalOptions } from './registry/local-options.ts'
import { localRegistry } from './registry/local-registry.ts'

export interface RegistriesOptions extends Pick<LocalOptions, Shared> {
  config: Config
  fills: FillStore
  log: Logger
  monotonic: () => number
  counts: CacheCounts
}

type Shared =
  | 'metadata'
  | 'damaged'
  | 'reader'
  | 'largePushes'
  | 'room'
  | 'blobs'
  | 'uploads'
  | 'locks'
  | 'garbageWindow'
  | 'access'
  | 'activity'
  | 'now'

/** The registries of a data folder. */
export interface Registries {
  /** The local content only. */
  local: ReturnType<typeof localRegistry>
  /** The local content and the repositories of upstreams, which are fetched on demand. */
  cache: ProxyCache
}

/** Upstreams may send manifests in old formats. */
const SCHEMA1 = { push: true, unsigned: true }

/**
 * Builds the registries from the configuration.
 *
 * @throws Error naming a bad setting, or local repositories whose names collide with an upstream's
 */
export async function openRegistries(options: RegistriesOptions): Promise<Registries> {
  const { config, monotonic, metadata, counts } = options
  const onRequest = (...labels: string[]) => counts.upstreamRequests.add(labels)
  const checkAllowed = allowedTypes(config.artifacts.allow)
  const local = localRegistry({
    ...options,
    checkAllowed,
    sparse: config.manifests.sparse,
    schema1: config.docker.schema1,
    cacheBytesMax: config.manifests.cacheBytesMax,
  })
  const upstreams = new UpstreamSet({
    limits: timeLimits(config),
    memory: new AnswerMemory(),
    requestPlaces: sharedRequestPlaces(),
    monotonic,
    onRequest,
  })
  for (const settings of readUpstreams(config)) {
    refuseLocalNames(settings.name, metadata.cache.localUnder(settings.name))
    upstreams.put(settings)
  }
  const cache = new ProxyCache({
    ...options,
    local,
    upstreams,
    settings: config.cache,
    diskNow: () => diskSpaceNow(config.data),
    manifestBytesMax: config.manifests.bytesMax,
    readManifest: async (repository, reference, { bytes, mediaType: contentType }) => {
      const name = repository.slice(repository.indexOf('/') + 1) as RepositoryName
      const push = { repository: name, reference, tags: [], contentType, bytes }
      const document = await options.reader.readPushed(push, SCHEMA1)
      checkAllowed(repository, document.manifest)
      return document
    },
  })
  await openStored(cache, options)
  return { local, cache }
}

function timeLimits({ cache }: Config): TimeLimits {
  return {
    connectMs: cache.connectSecondsMax * 1000,
    firstByteMs: cache.firstByteSecondsMax * 1000,
    stallMs: cache.stallSecondsMax * 1000,
    manifestMs: cache.manifestSecondsMax * 1000,
  }
}

function refuseLocalNames(upstream: string, repositories: string[]): void {
  if (repositories.length === 0) return
  throw new Error(localNamesTaken(upstream, repositories))
}
