import type { Logger } from 'pino'
import { ProxyCache } from '../cache/cache.ts'
import { localNamesTaken } from '../cache/store.ts'
import { AnswerMemory, type TimeLimits } from '../cache/upstream/answer.ts'
import { sharedRequestPlaces } from '../cache/upstream/connections.ts'
import { UpstreamSet } from '../cache/upstream/upstream.ts'
import { openStored } from '../cache/upstreams.ts'
import type { Config } from '../config/schema.ts'
import { readUpstreams } from '../config/upstreams.ts'
import { V1Images } from '../docker-v1/images.ts'
import type { RepositoryName } from '../oci/reference.ts'
import type { ContentReader } from '../registry/content-reader.ts'
import { allowedTypes } from '../registry/local-manifests.ts'
import { type LocalOptions, localRegistry } from '../registry/local-registry.ts'
import {
  type ConversionOptions,
  type ConversionRegistry,
  Conversions,
  localConversions,
  NegotiatedManifests,
} from '../registry/pulls.ts'
import type { IdleMemory } from '../runtime/idle-memory.ts'
import type { CacheCounts } from '../runtime/metrics.ts'
import type { FillStore } from '../storage/blob-store.ts'
import { diskSpaceNow } from '../storage/durable-file.ts'

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

export interface PullsOptions extends ConversionOptions {
  registry: ConversionRegistry
  /** The local content only. */
  local: ConversionRegistry
  config: Config
  reader: ContentReader
  idleMemory: IdleMemory
}

/** Opens what serves content in other formats than it was pushed in. `v1Images` is undefined where it is off. */
export async function openPulls(options: PullsOptions) {
  const { registry, local, config, metadata, reader, now, idleMemory } = options
  const conversions = new Conversions(registry, localConversions(options), reader, now)
  const v1Images = config.docker.v1
    ? await V1Images.open({ metadata, registry: local, conversions, now })
    : undefined
  const pulls = new NegotiatedManifests(registry.manifests, conversions, config.docker.schema1.pull)
  for (const one of [conversions, pulls]) idleMemory.add(one)
  if (v1Images !== undefined) idleMemory.add(v1Images)
  return { pulls, v1Images }
}
